// Carries time, datagrams and events between one node of the core and those who wait for them. After
// each call that changes the core, `pump` empties its polls and sets the timer anew. Nobody's code
// runs inside `pump`: events go to queues, and from there to whoever awaits them.
import type { Address, Done, Event, Failed, Node, Path } from "../pkg/kadlet.js";
import type { Node as FullNode } from "../pkg/full/kadlet.js";
import { familyOf } from "./address.js";
import type { Clock } from "./clock.js";
import { ClosedError } from "./errors.js";
import type { Link, Transport } from "./transport.js";

/** Events kept for a caller that does not keep up; beyond it steps and results are lost, never the end. */
const EVENTS = 4096;

/** A turn of the event loop may take so many datagrams' answers before the timer gets its turn. */
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
        this.#wake = () => {
          this.#wake = undefined;
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
  #operations = new Map<number, Operation>();
  #steps = 0;
  #unset: (() => void) | undefined;
  #deadline: number | undefined;

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
    this.#links = this.addresses = addresses;
    this.pump();
  }

  linkDown(): void {
    if (this.closed) return;
    this.#links.forEach((_, n) => this.core.linkDown(this.now(), n));
    this.#links = [];
    this.pump();
  }

  receive(datagram: Uint8Array, from: Address): void {
    if (this.closed) return;
    const path = this.pathTo(from);
    if (path === undefined) return;
    // What is wrong with a datagram is its sender's fault, and counted in `stats`.
    this.core.handleDatagram(this.now(), path, datagram);
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
    if (timeout !== undefined) this.core.setDeadline(now, operation.number, timeout);
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
    for (let out = core.pollTransmit(); out !== undefined; out = core.pollTransmit()) {
      if (!this.closed) this.transport.send(out.payload, out.path.remote);
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
    let changed = false;
    let records = false;
    for (let change = core.pollChange(); change !== undefined; change = core.pollChange()) {
      changed = true;
      records ||= change.type !== "contacts";
    }
    if (changed) this.events.changed(records);
    this.#setTimer(this.closed ? undefined : core.pollTimeout());
  }

  #setTimer(deadline: number | undefined): void {
    if (deadline === this.#deadline) return;
    this.#unset?.();
    this.#deadline = deadline;
    this.#unset = deadline === undefined ? undefined : this.clock.at(deadline, () => this.#due());
  }

  #due(): void {
    this.#deadline = this.#unset = undefined;
    if (this.closed) return;
    this.core.handleTimeout(this.now());
    this.pump();
  }

  /** Ends everything. */
  close(): void {
    if (this.closed) return;
    this.core.shutdown(this.now());
    this.pump();
    this.closed = true;
    this.#setTimer(undefined);
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
