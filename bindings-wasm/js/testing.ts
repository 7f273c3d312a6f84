// A network of real nodes in memory, in virtual time: for tests of what is built on Kadlet. Nothing is
// random but what the seed says, and nothing takes time but computing: the same calls in the same
// order give the same run. Time stands still while nobody waits for a node, and jumps to what comes
// next while somebody does; `timeout` of the operations is in that time.
import type { Address, Config, Partly } from "../pkg/kadlet.js";
import type { Clock } from "./clock.js";
import type { Core } from "./core-module.js";
import { open } from "./create.js";
import { BootstrapError } from "./errors.js";
import { load } from "./load.js";
import type { RunningNode } from "./node.js";
import { Random } from "./random.js";
import type { ContentRequest, ContentServer, Link, Shelf, Transport, TransportHost } from "./transport.js";

/** A datagram is on its way for so many milliseconds, at least and at most. */
const DELAY = [10, 50] as const;
/** Of every node. */
const PORT = 7611;
/** What happens at most before other tasks get a turn. */
const BATCH = 1000;
/** A node that loss keeps from joining tries again so often. */
const ATTEMPTS = 20;
const MOST_NODES = 1 << 16;
const MTU = 1500;

/** What a network in memory is made with. */
export interface NetworkOptions {
  /** The same seed and the same calls give the same run. 0 without it. */
  readonly seed?: number | undefined;
  /** Of the datagrams, from 0 to 1, so many never arrive. */
  readonly loss?: number | undefined;
  /** Settings of every node. */
  readonly config?: Partly<Config> | undefined;
}

interface Event {
  readonly time: number;
  readonly order: number;
  call: (() => void) | undefined;
}

const isBefore = (a: Event, b: Event): boolean => a.time < b.time || (a.time === b.time && a.order < b.order);

/** A heap: the earliest first, and of those the one that was said first. */
class Queue {
  readonly #events: Event[] = [];

  get length(): number {
    return this.#events.length;
  }

  push(event: Event): void {
    const events = this.#events;
    let at = events.push(event) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const above = events[up]!;
      if (!isBefore(event, above)) break;
      events[at] = above;
      at = up;
    }
    events[at] = event;
  }

  pop(): Event | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (last === undefined || events.length === 0) return last;
    let at = 0;
    for (let child = 1; child < events.length; child = 2 * at + 1) {
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1;
      if (!isBefore(events[child]!, last)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
    return first;
  }

  clear(): void {
    this.#events.length = 0;
  }
}

/** Everything that is ready to run has run before this calls: promises included. */
function soon(call: () => void): void {
  if (typeof setImmediate === "function") {
    setImmediate(call);
    return;
  }
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    call();
  };
  port2.postMessage(undefined);
}

/** A transport whose other ends are the nodes of the same network. */
class Memory implements Transport {
  host: TransportHost | undefined;
  shelf: Shelf | undefined;

  constructor(
    readonly network: Network,
    readonly address: Address,
  ) {}

  async open(host: TransportHost): Promise<Link> {
    this.host = host;
    return { addresses: [this.address], mtu: MTU };
  }

  send(datagram: Uint8Array, to: Address): void {
    this.network.carry(datagram, this.address, to);
  }

  close(): void {
    this.host = undefined;
  }

  async serve(shelf: Shelf): Promise<ContentServer> {
    this.shelf = shelf;
    return { transports: 1 };
  }

  async request({ provider, path, range }: ContentRequest): Promise<Response> {
    const other = this.network.at(provider);
    if (other?.host === undefined) throw new TypeError("nobody is there");
    const file = other.shelf?.answer(path);
    if (file === undefined) return new Response(undefined, { status: 404 });
    const [first, last] = range ?? [0, file.size - 1];
    const bytes = await file.read(first, last + 1);
    return new Response(bytes as Uint8Array<ArrayBuffer>, { status: range ? 206 : 200 });
  }
}

/** A network in memory; `network` makes them. */
export class Network implements AsyncDisposable {
  /** The nodes that were there from the beginning, in order; closed ones among them. */
  readonly nodes: RunningNode[] = [];
  readonly #core: Core;
  readonly #options: NetworkOptions;
  readonly #random: Random;
  readonly #loss: number;
  readonly #transports = new Map<Address, Memory>();
  readonly #all: RunningNode[] = [];
  readonly #queue = new Queue();
  #now = 0;
  #order = 0;
  #waiting = 0;
  #busy = 0;
  #woken = false;
  #scheduled = false;

  /** @internal */
  constructor(core: Core, options: NetworkOptions) {
    this.#core = core;
    this.#options = options;
    this.#random = new Random(options.seed ?? 0);
    this.#loss = options.loss ?? 0;
  }

  /** Virtual milliseconds since the network was made. */
  get now(): number {
    return this.#now;
  }

  /** Lets so much virtual time pass. */
  async sleep(milliseconds: number): Promise<void> {
    if (!(milliseconds >= 0)) throw new RangeError(`a time is a number from 0 on, this is ${milliseconds}`);
    const waited = this.#clock.wait();
    await new Promise<void>((resolve) => {
      this.#clock.at(this.#now + milliseconds, () => {
        // Here, or time would go on before whoever slept could act, where somebody else waits too.
        waited();
        resolve();
      });
    });
  }

  /** One more node, which joins by one of those that are open. */
  async join(): Promise<RunningNode> {
    const n = this.#transports.size;
    if (n >= MOST_NODES) throw new RangeError(`a network has at most ${MOST_NODES} nodes`);
    // Each in a /24 of its own, for the core limits what comes from one.
    const address = `10.${n >> 8}.${n & 255}.1:${PORT}`;
    const transport = new Memory(this, address);
    this.#transports.set(address, transport);
    const known = this.#all.filter(({ closed }) => !closed);
    const node = await open({
      load: async () => this.#core,
      clock: this.#clock,
      transport,
      random: (length) => this.#random.bytes(length),
      config: this.#options.config,
    });
    this.#all.push(node);
    for (let attempt = 1; known.length; attempt++) {
      const by = known[Math.floor(this.#random.unit() * known.length)];
      try {
        await node.bootstrap([by?.addr ?? ""]);
        break;
      } catch (error) {
        if (!(error instanceof BootstrapError) || attempt === ATTEMPTS) throw error;
      }
    }
    return node;
  }

  /** Closes every node. A node that is closed says no goodbye. */
  async close(): Promise<void> {
    for (const node of this.#all) await node.close();
    this.#queue.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  at(address: Address): Memory | undefined {
    return this.#transports.get(address);
  }

  /** @internal Delivers a datagram later, or never. */
  carry(datagram: Uint8Array, from: Address, to: Address): void {
    const [least, most] = DELAY;
    const delay = least + this.#random.unit() * (most - least);
    const lost = this.#random.unit() < this.#loss;
    const receiver = this.#transports.get(to);
    if (receiver && !lost) this.#clock.at(this.#now + delay, () => receiver.host?.receive(datagram, from));
  }

  readonly #clock: Clock = {
    now: () => this.#now,
    at: (time, call) => {
      const event: Event = { time, order: this.#order++, call };
      this.#queue.push(event);
      this.#schedule();
      return () => void (event.call = undefined);
    },
    wait: () => this.#hold(1, 0),
    busy: () => this.#hold(0, 1),
  };

  #hold(waiting: number, busy: number): () => void {
    this.#waiting += waiting;
    this.#busy += busy;
    this.#schedule();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#waiting -= waiting;
      this.#busy -= busy;
      this.#woken = true;
      this.#schedule();
    };
  }

  #schedule(): void {
    if (this.#scheduled || !this.#waiting || this.#busy || !this.#queue.length) return;
    this.#scheduled = true;
    soon(() => this.#run());
  }

  #run(): void {
    this.#scheduled = this.#woken = false;
    for (let n = 0; n < BATCH; n++) {
      // Whoever was woken acts before time goes on.
      if (this.#woken || this.#busy || !this.#waiting) break;
      const event = this.#queue.pop();
      if (event === undefined) break;
      this.#now = Math.max(this.#now, event.time);
      event.call?.();
    }
    this.#schedule();
  }
}

/** A network of `count` nodes that have joined, at most 65,536. */
export async function network(count: number, options: NetworkOptions = {}): Promise<Network> {
  const { loss = 0 } = options;
  if (!Number.isInteger(count) || count < 1 || count > MOST_NODES) {
    throw new RangeError(`a network has 1 to ${MOST_NODES} nodes, this has ${count}`);
  }
  if (!(loss >= 0 && loss <= 1)) throw new RangeError(`loss is a number from 0 to 1, this is ${loss}`);
  const made = new Network(await load(), options);
  try {
    for (let n = 0; n < count; n++) made.nodes.push(await made.join());
  } catch (error) {
    await made.close();
    throw error;
  }
  return made;
}
