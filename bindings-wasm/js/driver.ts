// Carries time, datagrams and events between one node of the core and those who wait for them. After
// each call that changes the core, `pump` empties its polls and sets the timer anew. Nobody's code
// runs inside `pump`: events go to queues, and from there to whoever awaits them.
import type { Address, Done, Event, Failed, Node, Path } from "../pkg/kadlet.js";
import type { Node as FullNode } from "../pkg/full/kadlet.js";
import { familyOf, numberOf, textOf } from "./address.js";
import type { Clock } from "./clock.js";
import { ClosedError } from "./errors.js";
import type { Link, Transport } from "./transport.js";

/** Events kept for a caller that does not keep up; beyond it steps and results are lost, never the end. */
const EVENTS = 4096;

export type OfOperation = Exclude<Event, { type: "renewed" | "signal" | "address_seen" | "reachable" | "offline" }>;

/** A node of the core; what only Mainline has is in the full build alone. */
export type CoreNode = Node & Partial<Pick<FullNode, "scrape" | "sample">>;

/** The events of one operation, in order; the last one is `done`. */
export class Operation {
  #events: OfOperation[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #left: Error | undefined;
  last: Done | undefined;

  constructor(
    readonly driver: Driver,
    readonly number: number,
    readonly steps: boolean,
  ) {}

  push(event: OfOperation): void {
    if (event.type === "done") {
      this.#ended = true;
      this.last = event;
    } else if (this.#events.length >= EVENTS) {
      return;
    }
    if (!this.steps && (event.type === "asked" || event.type === "answered" || event.type === "started")) return;
    this.#events.push(event);
    this.#wake?.();
  }

  /** The next event; undefined after the last. */
  async next(): Promise<OfOperation | undefined> {
    while (!this.#events.length) {
      if (this.#left) throw this.#left;
      if (this.#ended) return undefined;
      const waited = this.driver.clock.wait();
      await new Promise<void>((resolve) => {
        // Whoever waits already is woken too.
        const before = this.#wake;
        this.#wake = () => {
          this.#wake = undefined;
          before?.();
          waited();
          resolve();
        };
      });
    }
    return this.#events.shift();
  }

  /** Stops its traffic, if it has not ended; whoever waits gets the reason. */
  leave(reason: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#left = reason;
    this.#events.length = 0;
    this.driver.cancel(this.number);
    this.#wake?.();
  }

  /** Waits for the end, and gives what came before it. */
  async finish(): Promise<{ done: Done; events: OfOperation[] }> {
    const events: OfOperation[] = [];
    for (;;) {
      const event = await this.next();
      if (event === undefined) throw new ClosedError("the node is closed");
      if (event.type === "done") return { done: event, events };
      events.push(event);
    }
  }
}

export interface DriverEvents {
  /** An event that belongs to no operation. */
  event(event: Event): void;
  /** Contacts or records changed. */
  changed(records: boolean): void;
}

/** How an operation is begun. */
export interface Begin {
  readonly signal?: AbortSignal | undefined;
  readonly timeout?: number | undefined;
  readonly steps?: boolean;
}

/** What a signal gives, as an Error. */
export function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new DOMException(String(reason), "AbortError");
}

/** One running node. */
export class Driver {
  closed = false;
  addresses: readonly Address[] = [];
  /** What ends with the node. */
  readonly onClose = new Set<() => void>();
  #links: readonly Address[] = [];
  /** The link that reaches IPv4; -1 if none does. */
  #ipv4 = -1;
  #operations = new Map<number, Operation>();
  #steps = 0;
  #unset: (() => void) | undefined;
  /** When the core wants its turn, and when the timer that is set fires: then or before. */
  #deadline = Infinity;
  #timer = Infinity;

  constructor(
    readonly core: CoreNode,
    readonly clock: Clock,
    readonly transport: Transport,
    readonly events: DriverEvents,
  ) {}

  now(): number {
    return this.clock.now();
  }

  /** The path there, if one of our links reaches it. */
  pathTo(remote: Address): Path | undefined {
    const family = familyOf(remote);
    const link = this.#links.findIndex((address) => familyOf(address) === family);
    return link < 0 ? undefined : { remote, link };
  }

  linkUp(link: Link): void {
    if (this.closed) return;
    const { addresses, mtu } = link;
    addresses.forEach((address, n) => this.core.linkUp(this.now(), n, address, [familyOf(address)], mtu));
    for (let n = addresses.length; n < this.#links.length; n++) this.core.linkDown(this.now(), n);
    this.addresses = addresses;
    this.#setLinks(addresses);
    this.pump();
  }

  linkDown(): void {
    if (this.closed) return;
    this.#links.forEach((_, n) => this.core.linkDown(this.now(), n));
    this.#setLinks([]);
    this.pump();
  }

  #setLinks(addresses: readonly Address[]): void {
    this.#links = addresses;
    this.#ipv4 = addresses.findIndex((address) => familyOf(address) === "ipv4");
  }

  receive(datagram: Uint8Array, from: Address): void {
    if (this.closed) return;
    // What is wrong with a datagram is its sender's fault, and counted in `stats`.
    const number = numberOf(from);
    if (number >= 0) {
      if (this.#ipv4 < 0) return;
      this.core.receive(this.now(), this.#ipv4, number, datagram);
    } else {
      const path = this.pathTo(from);
      if (path === undefined) return;
      this.core.handleDatagram(this.now(), path, datagram);
    }
    this.pump();
  }

  failed(to: Address): void {
    const path = this.closed ? undefined : this.pathTo(to);
    if (path === undefined) return;
    this.core.handlePathFailed(this.now(), path);
    this.pump();
  }

  /** Begins an operation of the core's. */
  begin(start: (now: number) => number, { signal, timeout, steps = false }: Begin = {}): Operation {
    if (this.closed) throw new ClosedError("the node is closed");
    if (signal?.aborted) throw reasonOf(signal);
    const now = this.now();
    const operation = new Operation(this, start(now), steps);
    // Too late to refuse one that is no time: the core has begun.
    if (timeout !== undefined) this.core.setDeadline(now, operation.number, timeout > 0 ? timeout : 0);
    this.#operations.set(operation.number, operation);
    if (steps) this.#steps += 1;
    if (signal) {
      const abort = (): void => operation.leave(reasonOf(signal));
      signal.addEventListener("abort", abort, { once: true });
      this.#atEnd.set(operation.number, () => signal.removeEventListener("abort", abort));
    }
    this.pump();
    return operation;
  }

  #atEnd = new Map<number, () => void>();

  #ended(number: number): Operation | undefined {
    const operation = this.#operations.get(number);
    if (operation) {
      this.#operations.delete(number);
      if (operation.steps) this.#steps -= 1;
      this.#atEnd.get(number)?.();
      this.#atEnd.delete(number);
    }
    return operation;
  }

  /** Ends an operation, or the renewal of what it published. */
  cancel(number: number): void {
    this.#ended(number);
    if (this.closed) return;
    this.core.cancel(this.now(), number);
    this.pump();
  }

  /** Empties the polls and sets the timer. */
  pump(): void {
    const { core } = this;
    for (let to = core.takeTransmit(); to !== -1; to = core.takeTransmit()) {
      if (this.closed) continue;
      const remote = to >= 0 ? textOf(to) : core.takenAddress();
      if (remote !== undefined) this.transport.send(core.takenPayload(), remote);
    }
    const hears = this.transport.hears === true;
    const brief = this.#steps === 0 && !hears;
    for (let event = core.pollEvent(brief); event !== undefined; event = core.pollEvent(brief)) {
      if (hears && (event.type === "asked" || event.type === "answered")) {
        this.transport.heard?.(event.peer.id, event.peer.path.remote);
      }
      if (event.type === "done") this.#ended(event.operation)?.push(event);
      else if (isOutside(event)) this.events.event(event);
      else this.#operations.get(event.operation)?.push(event);
    }
    const changes = core.takeChanges();
    if (changes) this.events.changed(changes > 1);
    this.#setTimer(this.closed ? Infinity : core.deadline());
  }

  /** A deadline moves with almost every datagram, mostly away: the timer that is set finds that out. */
  #setTimer(deadline: number): void {
    this.#deadline = deadline;
    if (deadline >= this.#timer && deadline !== Infinity) return;
    this.#unset?.();
    this.#timer = deadline;
    this.#unset = deadline === Infinity ? undefined : this.clock.at(deadline, () => this.#due());
  }

  #due(): void {
    this.#timer = Infinity;
    this.#unset = undefined;
    if (this.closed) return;
    const now = this.now();
    if (now < this.#deadline) return this.#setTimer(this.#deadline);
    this.core.handleTimeout(now);
    this.pump();
  }

  /** Ends everything. */
  close(): void {
    if (this.closed) return;
    this.core.shutdown(this.now());
    this.pump();
    this.closed = true;
    this.#setTimer(Infinity);
    for (const end of [...this.onClose]) end();
    const reason = new ClosedError("the node is closed");
    for (const operation of [...this.#operations.values()]) operation.leave(reason);
    this.#operations.clear();
    for (const end of this.#atEnd.values()) end();
    this.#atEnd.clear();
  }
}

function isOutside(event: Event): event is Exclude<Event, OfOperation> {
  switch (event.type) {
    case "renewed":
    case "signal":
    case "address_seen":
    case "reachable":
    case "offline":
      return true;
    default:
      return false;
  }
}

export const isFailed = (event: OfOperation): event is Failed => event.type === "failed";
