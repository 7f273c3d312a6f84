// Opening a node: core, transport, state, joining.
import type { Config, Event, Partly } from "../pkg/kadlet.js";
import { type Clock, systemClock } from "./clock.js";
import type { Core } from "./core-module.js";
import { type CoreNode, Driver, reasonOf } from "./driver.js";
import { BootstrapError, ClosedError, InvalidState, LoadError, QueryTimeout } from "./errors.js";
import { isMainline, MAINLINE } from "./mainline.js";
import { RunningNode } from "./node.js";
import { pack, type StateStore, unpack } from "./storage.js";
import type { Transport, TransportHost, Warning } from "./transport.js";
import { hex, messageOf } from "./words.js";

/** What every node is opened with. */
export interface NodeOptions {
  /**
   * The network's name, before that in `config`. Networks with different names never merge;
   * "mainline" is BitTorrent's DHT.
   */
  readonly network?: string | undefined;
  /** Nodes to start from, IP:PORT. Without any the node starts from the contacts in its state. */
  readonly bootstrap?: readonly string[] | undefined;
  /** Carries datagrams, in place of the relay. */
  readonly transport?: Transport | undefined;
  /** Ends opening, and later the node. */
  readonly signal?: AbortSignal | undefined;
  /** For joining, milliseconds; and before that for the core and the state to be loaded. */
  readonly timeout?: number | undefined;
  /** Settings of the core; what is left out keeps its default. */
  readonly config?: Partly<Config> | undefined;
}

/** How a package's entry opens nodes. */
export interface Opening extends NodeOptions {
  readonly load: () => Promise<Core>;
  readonly transport: Transport;
  readonly clock?: Clock;
  /** Bytes that nobody can know; of the system's entropy without it. */
  readonly random?: (length: number) => Uint8Array;
  /** Where the state is kept. What it rejects with is a warning, and the node goes without. */
  readonly store?: (() => Promise<StateStore>) | undefined;
}

/** A state is saved so long after it changed, milliseconds. */
const SAVE_AFTER = 2000;
/** And tried again after so long where that failed. */
const SAVE_AGAIN = 30_000;
/** Between two events that say that the table changed. */
const TABLE_EVERY = 100;
/** Changes of one call that the journal has to hold. */
const JOURNAL = 1024;

/** What the core can do by default: keep records, hand signals on. */
const CAPABILITIES = 3;

const entropy = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** Saves a node's state soon after it changed. */
class Saving {
  #unset: (() => void) | undefined;
  #failed = false;
  #last: Promise<void> = Promise.resolve();

  constructor(
    readonly store: StateStore,
    readonly clock: Clock,
    readonly state: () => Uint8Array,
    readonly warn: (warning: Warning) => void,
  ) {}

  #warn(error: unknown): void {
    this.warn({ kind: "storage", message: `the state cannot be saved: ${messageOf(error)}` });
  }

  soon(after = SAVE_AFTER): void {
    this.#unset ??= this.clock.at(this.clock.now() + after, () => void this.now());
  }

  /** Saves; a failure is a warning, and is tried again. Two never write at once. */
  now(): Promise<void> {
    this.#unset?.();
    this.#unset = undefined;
    const state = pack(this.state());
    this.#last = this.#last.then(async () => {
      try {
        await this.store.save(state);
        this.#failed = false;
      } catch (error) {
        if (!this.#failed) this.#warn(error);
        this.#failed = true;
        this.soon(SAVE_AGAIN);
      }
    });
    return this.#last;
  }

  async end(state: Uint8Array): Promise<void> {
    this.#unset?.();
    const last = pack(state);
    await this.#last;
    try {
      await this.store.save(last);
    } catch (error) {
      this.#warn(error);
    }
    this.#unset?.();
    this.store.close?.();
  }
}

function handOn(node: RunningNode, event: Event): void {
  switch (event.type) {
    case "signal":
      return node.emit("signal", event);
    case "address_seen":
      return node.emit("address", event);
    case "reachable":
      return node.emit("reachable", event);
    case "offline":
      return node.emit("offline", event);
    case "renewed":
      return node.emit("renewed", event);
    default:
  }
}

/** What comes of `work`, unless the signal comes first; then what comes later goes to `late`. */
function unless<T>(signal: AbortSignal, work: Promise<T>, late?: (value: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(reasonOf(signal));
      if (late) void work.then(late, () => {});
    };
    const here = (): void => signal.removeEventListener("abort", abort);
    work.then(
      (value) => (here(), resolve(value)),
      (error: unknown) => (here(), reject(error)),
    );
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
  });
}

/** Opens a node. */
export async function open({
  load,
  transport,
  clock = systemClock(),
  random = entropy,
  store: openStore,
  network,
  bootstrap = [],
  signal,
  timeout,
  config: given = {},
}: Opening): Promise<RunningNode> {
  if (signal?.aborted) throw reasonOf(signal);
  const named = network ?? given.network;
  const mainline = isMainline(named);
  const early: Warning[] = [];
  let node: RunningNode | undefined;
  const warn = (warning: Warning): void => void (node ? node.emit("warning", warning) : early.push(warning));

  // A server may stall, and a database be held up by another tab: who leaves waits for neither.
  const leaving = new AbortController();
  const leave = (): void => leaving.abort(signal && reasonOf(signal));
  const late = (): void => leaving.abort(new QueryTimeout("the time was up before core and state were loaded"));
  signal?.addEventListener("abort", leave);
  const unset = timeout === undefined ? undefined : clock.at(clock.now() + timeout, late);
  let core: Core;
  let store: StateStore | undefined;
  let saved: Uint8Array | undefined;
  try {
    core = await unless(leaving.signal, load());
    if (mainline && core.bencodeString === undefined) {
      throw new LoadError("this build of the core has no Mainline: `kadlet` and `kadlet/node` load one that has");
    }
    try {
      if (openStore) store = await unless(leaving.signal, openStore(), (store) => store.close?.());
      if (store) saved = await unless(leaving.signal, store.load());
    } catch (error) {
      store?.close?.();
      leaving.signal.throwIfAborted();
      store = undefined;
      warn({ kind: "storage", message: `the state is not kept: ${messageOf(error)}` });
    }
  } finally {
    unset?.();
    signal?.removeEventListener("abort", leave);
  }

  let driver: Driver | undefined;
  let gone = false;
  /** Whether the transport made us a client; undefined once it has been said that it would not any more. */
  let client: boolean | undefined;
  const host: TransportHost = {
    network: mainline ? MAINLINE : core.networkIdOf(named ?? "kadlet"),
    receive: (datagram, from) => driver?.receive(datagram, from),
    failed: (to) => driver?.failed(to),
    up(link) {
      gone = false;
      driver?.linkUp(link);
      node?.emit("up", { addresses: link.addresses });
      // The core has one role for good.
      if (client === (link.serve !== false)) {
        const message = `others may ${client ? "now" : "no longer"} rely on this node: that counts once it is opened anew`;
        client = undefined;
        warn({ kind: "transport", message });
      }
    },
    down(reason, partly) {
      if (!partly) driver?.linkDown();
      // Once, although the rest may go later.
      if (!gone) node?.emit("down", { reason });
      gone = true;
    },
    warn,
    recall: (key) => store?.recall?.(key),
    remember: (key, words) => store?.remember?.(key, words),
  };
  /** A transport of somebody's own may fail even in that, and the state is worth more. */
  const end = async (): Promise<void> => {
    try {
      await transport.close();
    } catch (error) {
      warn({ kind: "transport", message: `it did not close: ${messageOf(error)}` });
    }
  };
  const abort = new AbortController();
  const link = await transport.open(host, signal ?? abort.signal).catch((error: unknown) => {
    store?.close?.();
    throw error;
  });
  client = link.serve === false;
  try {
    const config: Partly<Config> = {
      ...given,
      ...(named === undefined ? {} : { network: mainline ? null : named }),
      ...(client ? { role: "client" } : {}),
      ...(link.capabilities ? { capabilities: (given.capabilities ?? CAPABILITIES) | link.capabilities } : {}),
      ...(store ? { store: { ...given.store, maxChanges: given.store?.maxChanges ?? JOURNAL } } : {}),
    };
    const now = clock.now();
    let inner: CoreNode;
    if (saved === undefined) {
      inner = new core.Node(config, hex(random(20)), random(32), now);
    } else {
      const unpacked = unpack(saved);
      if (unpacked === undefined) throw new InvalidState("what was kept is no state of a node");
      try {
        inner = core.Node.restore(config, unpacked.state, random(32), now, unpacked.elapsed);
      } catch (error) {
        throw new InvalidState(messageOf(error));
      }
    }

    let tableTimer: (() => void) | undefined;
    let saving: Saving | undefined;
    const running = new Driver(inner, clock, transport, {
      // After `pump`, so that listeners may call whatever they like.
      event: (event) => queueMicrotask(() => node && handOn(node, event)),
      changed(records) {
        saving?.soon(records ? SAVE_AFTER : 5 * SAVE_AFTER);
        tableTimer ??= clock.at(clock.now() + TABLE_EVERY, () => {
          tableTimer = undefined;
          node?.emit("table", undefined);
        });
      },
    });
    driver = running;
    const opened = new RunningNode(core, running, () => (closing ??= close()));
    node = opened;
    if (store) {
      saving = new Saving(store, clock, () => inner.exportState(clock.now()), warn);
      // An id that nobody ever talked to is worth keeping as well.
      if (saved === undefined) void saving.now();
    }

    // A page that is hidden may never be seen again.
    const hidden = (): void => {
      if (globalThis.document?.visibilityState === "hidden") void saving?.now();
    };
    globalThis.document?.addEventListener("visibilitychange", hidden);
    const aborted = (): void => void opened.close();
    signal?.addEventListener("abort", aborted, { once: true });

    let closing: Promise<void> | undefined;
    async function close(): Promise<void> {
      globalThis.document?.removeEventListener("visibilitychange", hidden);
      signal?.removeEventListener("abort", aborted);
      tableTimer?.();
      const state = saving && inner.exportState(clock.now());
      running.close();
      await end();
      if (saving && state) await saving.end(state);
      opened.emit("close", undefined);
    }

    running.linkUp(link);
    for (const warning of early) opened.warnings.push(warning);
    try {
      await join(opened, bootstrap, { signal, timeout });
      // What came before there was a listener has closed nothing, and not every wait ends by it.
      signal?.throwIfAborted();
    } catch (error) {
      await opened.close();
      throw signal?.aborted ? reasonOf(signal) : error;
    }
    transport.attach?.(opened);
    if (early.length) {
      // Whoever awaits the node has it by then.
      setTimeout(() => early.forEach((detail) => opened.dispatchEvent(new CustomEvent("warning", { detail }))));
    }
    return opened;
  } catch (error) {
    if (!(driver?.closed ?? false)) {
      await end();
      store?.close?.();
    }
    throw error;
  }
}

/** Joins by the addresses given, or by the contacts that the state has. */
async function join(
  node: RunningNode,
  bootstrap: readonly string[],
  options: { signal?: AbortSignal | undefined; timeout?: number | undefined },
): Promise<void> {
  const known = Object.values(node.health().contacts).some((count) => count > 0);
  if (bootstrap.length) {
    try {
      await node.bootstrap(bootstrap, options);
      return;
    } catch (error) {
      if (!(error instanceof BootstrapError) || !known) throw error;
      const closest = await node.findNode(node.id, options).catch(() => []);
      if (!closest.length) throw error;
    }
  } else if (known) {
    // Nobody who answers is no failure: those who are away may come back.
    await node.findNode(node.id, options).catch((error: unknown) => {
      if (error instanceof ClosedError) throw error;
    });
  }
}
