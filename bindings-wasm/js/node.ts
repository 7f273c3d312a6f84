// A node that runs: what people do with it.
import type {
  Address,
  Answered,
  Asked,
  Bucket,
  Contact,
  Done,
  Dropped,
  Failed,
  Family,
  Health,
  Hit,
  Id,
  Item,
  Link,
  Peer,
  PeerFailure,
  Provider,
  Sample,
  SearchEntry,
  SignedValue,
  Signal,
  Stats,
  StoreStats,
  Swarm,
} from "../pkg/kadlet.js";
import { type Attempt, type AttemptResult, isAddress, resultOf, split } from "./address.js";
import type { Core } from "./core-module.js";
import { type Begin, type Driver, isFailed, reasonOf } from "./driver.js";
import {
  BootstrapError,
  ClosedError,
  DhtError,
  errorOf,
  InvalidRecord,
  QueryTimeout,
  QuorumError,
  ValueTooLarge,
} from "./errors.js";
import { type FetchOptions, type Fetched, Fetching, hashesOf, type Shareable, Shelves } from "./files.js";
import { fromNetwork, hashOf, type Mainline, MAX_BENCODED, toNetwork, torrentOf } from "./mainline.js";
import { Results } from "./results.js";
import type { ContentServer, Warning } from "./transport.js";

/** The longest value, bytes: with its signature it fits into one datagram. On Mainline 1000, as bencode. */
export const MAX_VALUE = 896;

/** Warnings that are kept for whoever comes later. */
const WARNINGS = 16;

/** One step of a lookup: somebody is asked, answers or fails; the last one names the closest. */
export type LookupStep = Asked | Answered | Failed | Done;

/** What every operation takes. */
export interface OperationOptions {
  /** Ends it, and its traffic. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; without it `Config.deadline`. */
  readonly timeout?: number | undefined;
}

/** What a store takes besides. */
export interface StoreOptions extends OperationOptions {
  /** Whether it is stored again before holders forget it, until `withdraw` or the node's end; a signed value also until this node puts a newer one. */
  readonly renew?: boolean | undefined;
}

export interface PutOptions extends StoreOptions {
  /** Only over the value with this sequence number. */
  readonly cas?: bigint | undefined;
  /** Fewer holders are a `QuorumError`. 1 without it. */
  readonly quorum?: number | undefined;
}

export interface AnnounceOptions extends StoreOptions {
  /** Where the content is to be had; without it the port of our datagrams. */
  readonly port?: number | undefined;
  /** 1 HTTP, 2 a WebRTC data channel. 1 without it. On Mainline 128 for having all of it (a seed). */
  readonly transports?: number | undefined;
}

export interface GetSignedOptions extends OperationOptions {
  readonly salt?: Uint8Array | undefined;
  /** Only one with a higher sequence number. */
  readonly newerThan?: bigint | undefined;
}

export interface SignalOptions extends OperationOptions {
  /** IP:PORT where the node is to answer; the signal goes there and nowhere else. */
  readonly at?: Address | undefined;
}

/** A record that others keep now. */
export interface PutResult {
  /** What it is found under. */
  readonly key: Id;
  /** How many nodes acknowledged it. */
  readonly stored: number;
  /** How many were asked to keep it. */
  readonly attempted: number;
  /** Who gave no usable answer on the way, and why. */
  readonly failures: readonly { readonly peer: Peer; readonly reason: PeerFailure }[];
  /** Names its renewal, if there is one, to `withdraw`. */
  readonly operation: number;
}

/** How a file is shared. */
export interface ShareOptions extends OperationOptions {
  /** What others find it by; the file's own without it. */
  readonly name?: string | undefined;
  /** Whether it is found by the words of its name, or by its link alone. */
  readonly listed?: boolean | undefined;
}

/** A file that is served until it is withdrawn or the node is closed. */
export interface Share {
  /** BLAKE3 of the file, 32 bytes. */
  readonly id: Uint8Array;
  /** What others fetch it by. */
  readonly link: string;
  readonly size: number;
  /** How many nodes keep the announcement; 0: it is tried again until somebody does. */
  readonly stored: number;
  /** Name the renewals, to `withdraw`. */
  readonly operations: readonly number[];
}

/** What a node tells, by the name of the event; `event.detail` has it. */
export interface NodeEvents {
  /** The relay, or whatever carries datagrams, is gone; it is tried again. Who has a channel is reached all the same. */
  down: { readonly reason: Error };
  /** It is there again, at these addresses. */
  up: { readonly addresses: readonly Address[] };
  /** Something went otherwise than wished, and the node goes on. */
  warning: Warning;
  /** Contacts came or went: `buckets()` has others. At most ten times a second. */
  table: undefined;
  /** Another node sent us a few bytes. */
  signal: Signal;
  /** Several nodes agree that this is our address, seen from outside. */
  address: { readonly address: Address };
  /** Whether strangers reach us. */
  reachable: { readonly address: Address; readonly reachable: boolean };
  /** Nothing answers any more, or something does again. */
  offline: { readonly offline: boolean };
  /** A renewal went otherwise than the time before; without holders it is tried again soon. */
  renewed: { readonly operation: number; readonly stored: number };
  /** The node is closed. */
  close: undefined;
}

function start<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    // The core's own words for what no record can be.
    if (error instanceof DhtError || error instanceof DOMException || !(error instanceof Error)) throw error;
    throw error.name === "Error" ? new InvalidRecord(error.message) : error;
  }
}

/** On its way into the core a number would lose what its `bits` cannot hold. */
function fits(name: string, given: number | bigint | undefined, bits: number): void {
  const most = 2n ** BigInt(bits) - 1n;
  if (given != null && !(given >= 0 && given <= most && Number.isInteger(Number(given)))) {
    throw new RangeError(`${name} is an integer from 0 to ${most}, this is ${given}`);
  }
}

// `EventTarget`, with the types of a node's events.
export interface RunningNode {
  addEventListener<K extends keyof NodeEvents>(
    type: K,
    listener: ((event: CustomEvent<NodeEvents[K]>) => void) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof NodeEvents>(
    type: K,
    listener: ((event: CustomEvent<NodeEvents[K]>) => void) | null,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** A node that runs; `createNode` makes them. After `close` every operation throws `ClosedError`. */
export class RunningNode extends EventTarget implements AsyncDisposable {
  readonly #core: Core;
  /** Only on Mainline. */
  readonly #mainline: Mainline | undefined;
  readonly #driver: Driver;
  readonly #end: () => Promise<void>;
  readonly #shelves = new Shelves();
  /** What is shared, by the first operation of each. */
  readonly #shares = new Set<number | undefined>();
  #serving: Promise<ContentServer> | undefined;
  /** The last warnings. */
  readonly warnings: Warning[] = [];

  /** @internal */
  constructor(core: Core, driver: Driver, end: () => Promise<void>) {
    super();
    this.#core = core;
    this.#mainline = driver.core.config().network === null ? (core as Mainline) : undefined;
    this.#driver = driver;
    this.#end = end;
  }

  /** Our id. */
  get id(): Id {
    return this.#driver.core.id();
  }

  /** IP:PORT at which others reach us; undefined before there was a line. */
  get addr(): Address | undefined {
    return this.#driver.addresses[0];
  }

  /** The same for each family. */
  get addrs(): readonly Address[] {
    return this.#driver.addresses;
  }

  get closed(): boolean {
    return this.#driver.closed;
  }

  /** The buckets of a routing table, nearest first; of the family of our address without one. */
  buckets(family: Family = this.addr?.startsWith("[") ? "ipv6" : "ipv4"): Bucket[] {
    return this.#driver.core.table(family);
  }

  /** How the node is. */
  health(): Health {
    return this.#driver.core.health();
  }

  /** Counters of the core. */
  stats(): Stats {
    return this.#driver.core.stats();
  }

  /** What limits per source made the node drop. */
  dropped(): Dropped {
    return this.#driver.core.dropped();
  }

  /** What is kept for others. */
  storeStats(): StoreStats {
    return this.#driver.core.storeStats();
  }

  /** Everything worth keeping over a restart, as the core writes it. */
  exportState(): Uint8Array {
    return this.#driver.core.exportState(this.#driver.now());
  }

  /** Milliseconds since the node was opened: the moments in buckets are of this clock. */
  now(): number {
    return this.#driver.now();
  }

  /**
   * Joins a network by these addresses, and says what each answered. Throws `BootstrapError` if none
   * of them is a node of our network.
   */
  async bootstrap(given: readonly string[], options: OperationOptions = {}): Promise<readonly Attempt[]> {
    const attempts: { given: string; address: Address; result: AttemptResult }[] = [];
    const { transport } = this.#driver;
    for (const text of given) {
      const { host, port } = split(text);
      let addresses: readonly Address[] = isAddress(text) ? [`${host}:${port}`] : [];
      if (!isAddress(text) && transport.resolve) addresses = await transport.resolve(host, port).catch(() => []);
      if (!addresses.length) attempts.push({ given: text, address: text, result: "unresolved" });
      for (const address of addresses) {
        const result = this.#driver.pathTo(address) ? "timeout" : "out_of_reach";
        attempts.push({ given: text, address, result });
      }
    }
    const paths = attempts.flatMap(({ address, result }) => {
      const path = result === "timeout" ? this.#driver.pathTo(address) : undefined;
      return path ? [path] : [];
    });
    if (paths.length) {
      const operation = this.#begin((now) => this.#driver.core.bootstrap(now, paths), { ...options, steps: true });
      const { events } = await operation.finish();
      for (const event of events) {
        if (event.type !== "answered" && event.type !== "failed") continue;
        const result = event.type === "answered" ? "answered" : resultOf(event.reason);
        for (const attempt of attempts) {
          // The first word counts, and an answer after a silence.
          if (attempt.result === "timeout" && attempt.address === event.peer.path.remote) attempt.result = result;
        }
      }
    }
    if (this.closed) throw new ClosedError("the node is closed");
    if (!attempts.some(({ result }) => result === "answered")) throw new BootstrapError(attempts);
    return attempts;
  }

  /**
   * The value under a key; undefined if peers answered and nobody has it. On Mainline strings come as
   * their bytes and anything else as `Bencoded`, and `key` may be a link with `xs=urn:btpk:`.
   */
  async get(key: string, options: OperationOptions = {}): Promise<Uint8Array | undefined> {
    const named = start(() => torrentOf(this.#mainline, key));
    const [at, salt] = named.type === "hash" ? [named.hash] : [this.#signedKey(named.publicKey, named.salt), named.salt];
    const found = await this.#read(at, salt, undefined, options);
    const value = found instanceof Uint8Array ? found : found?.value;
    return value && this.#mainline ? fromNetwork(this.#mainline, value) : value;
  }

  /** The newest value that the owner of `publicKey` (32 bytes) stored under a salt. */
  async getSigned(
    publicKey: Uint8Array,
    { salt = new Uint8Array(), newerThan, ...options }: GetSignedOptions = {},
  ): Promise<SignedValue | undefined> {
    fits("newerThan", newerThan, 64);
    const key = this.#signedKey(publicKey, salt);
    const found = await this.#read(key, salt, newerThan, options);
    return found instanceof Uint8Array ? undefined : found;
  }

  /**
   * The info-hash that a magnet link of BitTorrent names; of a link with `xs=urn:btpk:` (BEP 46) the
   * one that the key's owner has said last, undefined if nobody has it.
   */
  async torrent(link: string, options: OperationOptions = {}): Promise<Id | undefined> {
    const named = start(() => torrentOf(this.#mainline, link));
    if (named.type === "hash") return named.hash;
    const said = await this.getSigned(named.publicKey, { ...options, salt: named.salt });
    return said && this.#mainline?.infoHashIn(said.value);
  }

  /**
   * Stores bytes, found by their hash, or a signed value as `sign` makes them. Throws
   * `ValueTooLarge` over 896 bytes (Mainline: 1000 of bencode), `InvalidRecord`, `StaleSequence` or another `RefusedError`,
   * `QuorumError`, or another `DhtError` if nobody took it.
   */
  async put(given: Item, { cas, renew, quorum = 1, ...options }: PutOptions = {}): Promise<PutResult> {
    fits("cas", cas, 64);
    const item = this.#mainline ? toNetwork(this.#mainline, given) : given;
    const limit = this.#mainline ? MAX_BENCODED : MAX_VALUE;
    const { length } = item instanceof Uint8Array ? item : item.value;
    if (length > limit) throw new ValueTooLarge(length, limit);
    const key = start(() => this.#core.keyOf(item, this.#mainline !== undefined));
    return this.#store(key, (now) => this.#driver.core.put(now, item, cas, renew), quorum, options);
  }

  /** Tells the nodes closest to `key` that its content is to be had from us. On Mainline it may be a magnet link. */
  async announce(
    named: string,
    { port, transports = 1, renew, ...options }: AnnounceOptions = {},
  ): Promise<PutResult> {
    fits("port", port, 16);
    fits("transports", transports, 8);
    const key = start(() => hashOf(this.#mainline, named));
    return this.#store(key, (now) => this.#driver.core.announce(now, key, port, transports, renew), 1, options);
  }

  /** Lets a file be found by every word of its name. */
  async publish(entry: SearchEntry, { renew, ...options }: StoreOptions = {}): Promise<PutResult> {
    // It is kept under each of its words; its content's key is where its providers are.
    const key = start(() => this.#core.contentKeyOf(entry.content));
    return this.#store(key, (now) => this.#driver.core.publish(now, entry, renew), 1, options);
  }

  /** Ends the renewal of something published, and serves it no longer. Holders forget it in their own time. */
  withdraw(published: PutResult | Share): void {
    if ("operation" in published) return this.#driver.cancel(published.operation);
    // Only once: the same content may be shared once more.
    if (this.#shares.delete(published.operations[0])) this.#shelves.remove(published.id);
    for (const operation of published.operations) this.#driver.cancel(operation);
  }

  /** Who has the content with this key, as they are heard of. On Mainline it may be a magnet link. */
  providers(named: string, options: OperationOptions = {}): Results<Provider> {
    const key = start(() => hashOf(this.#mainline, named));
    const operation = this.#begin((now) => this.#driver.core.providers(now, key), options);
    return new Results(operation, (event) => (event.type === "provider" ? event : undefined));
  }

  /** How many have a torrent, about (Mainline, BEP 33); undefined if peers answered and nobody knows. */
  async scrape(named: string, options: OperationOptions = {}): Promise<Swarm | undefined> {
    const key = start(() => hashOf(this.#mainline, named));
    const { done, events } = await this.#begin((now) => this.#ofMainline("scrape")(now, key), options).finish();
    const error = errorOf(done.outcome);
    if (error) throw error;
    return events.find((event) => event.type === "swarm");
  }

  /**
   * Some of the info-hashes that nodes around `target` know (Mainline, BEP 51). Nobody is asked again
   * within the interval it named.
   */
  sample(target: Id, options: OperationOptions = {}): Results<Sample> {
    const operation = this.#begin((now) => this.#ofMainline("sample")(now, target), options);
    return new Results(operation, (event) => (event.type === "sample" ? event : undefined));
  }

  /** Files whose names carry all these words, as they are heard of. */
  search(words: string, options: OperationOptions = {}): Results<Hit> {
    const operation = this.#begin((now) => this.#driver.core.search(now, words), options);
    return new Results(operation, (event) => (event.type === "hit" ? event : undefined));
  }

  /** One lookup, step by step; the last step is `done`, with the closest contacts. */
  lookup(target: Id, options: OperationOptions = {}): Results<LookupStep> {
    const operation = this.#begin((now) => this.#driver.core.findNode(now, target), { ...options, steps: true });
    return new Results(operation, (event) => {
      switch (event.type) {
        case "asked":
        case "answered":
        case "failed":
          return event;
        case "done":
          return errorOf(event.outcome) ? undefined : event;
        default:
          return undefined;
      }
    });
  }

  /** The contacts closest to `target` that answered, nearest first. */
  async findNode(target: Id, options: OperationOptions = {}): Promise<Contact[]> {
    const { done } = await this.#begin((now) => this.#driver.core.findNode(now, target), options).finish();
    const error = errorOf(done.outcome, done.closest);
    if (error) throw error;
    return done.closest;
  }

  /** Sends up to 1024 bytes to the node with this id, which hears them as a `signal` event. */
  async signal(target: Id, payload: Uint8Array, { at, ...options }: SignalOptions = {}): Promise<void> {
    const path = at === undefined ? undefined : this.#driver.pathTo(at);
    if (at !== undefined && path === undefined) throw new TypeError(`${at} is out of reach`);
    const { core } = this.#driver;
    const start = (now: number): number => (path ? core.signalAt(now, target, path, payload) : core.signal(now, target, payload));
    const { done } = await this.#begin(start, options).finish();
    const error = errorOf(done.outcome);
    if (error) throw error;
  }

  /**
   * Shares a file: hashes it, serves it until `withdraw` or the node's end, and tells others of it.
   * With `listed` it is found by the words of its name: from now on name and address are public.
   * That nobody could be told yet is no error: it is tried again. Whatever is one leaves nothing shared.
   */
  async share(file: Shareable, { name, listed = true, signal, timeout }: ShareOptions = {}): Promise<Share> {
    const called = name ?? (file instanceof File ? file.name : undefined);
    const { core, transport } = this.#driver;
    if (transport.serve === undefined) throw new DhtError("nobody could fetch it: this transport serves no files");
    const hashes = await hashesOf(this.#core, file, () => {
      if (signal?.aborted) throw reasonOf(signal);
      if (this.closed) throw new ClosedError("the node is closed");
    });
    const id = hashes.id();
    const size = hashes.size();
    const operations: number[] = [];
    const tell = async (call: (now: number) => number): Promise<number> => {
      const operation = this.#begin(call, { signal, timeout });
      operations.push(operation.number);
      const { outcome, totals } = (await operation.finish()).done;
      // Nobody will try again.
      if (outcome === "overloaded") throw errorOf(outcome);
      return totals.stored;
    };
    this.#shelves.add(file, hashes);
    try {
      this.#serving ??= transport.serve(this.#shelves).catch((error: unknown) => {
        // The next one may succeed.
        this.#serving = undefined;
        throw error;
      });
      const { port, transports } = await this.#serving;
      const key = this.#core.contentKeyOf(id);
      const stored = await tell((now) => core.announce(now, key, port, transports, true));
      if (listed && called !== undefined && /[\p{L}\p{N}]/u.test(called)) {
        await tell((now) => core.publish(now, { name: called, size, content: id }, true));
      }
      const link = this.#core.formatLink({ id, name: called, size, contacts: this.addrs });
      this.#shares.add(operations[0]);
      return { id, link, size, stored, operations };
    } catch (error) {
      // Nobody has a `Share` by which it could be withdrawn.
      this.#shelves.remove(id);
      for (const operation of operations) this.#driver.cancel(operation);
      throw error;
    }
  }

  /**
   * Fetches what a link names, from several at once; every piece is checked, and who gives a wrong
   * one is dropped. Throws `NoProvidersError`, or a `DhtError` if nobody could be asked.
   */
  async fetch(link: string | Link, options: FetchOptions = {}): Promise<Fetched> {
    const wanted = typeof link === "string" ? start(() => this.#core.parseLink(link)) : link;
    if (options.signal?.aborted) throw reasonOf(options.signal);
    const { signal, timeout } = options;
    const known = Object.values(this.health().contacts).some((count) => count > 0);
    if (wanted.contacts?.length && !known) await this.bootstrap(wanted.contacts, { signal, timeout });
    const fetching = start(() => new Fetching(this.#driver, this.#core, wanted.id, wanted.size, options));
    const providers = this.providers(this.#core.contentKeyOf(wanted.id), { signal, timeout });
    const { progress, blob } = await fetching.run(providers);
    return { ...progress, blob, name: this.#core.safeFileName(wanted.name ?? "", wanted.id) };
  }

  /** Closes the node: operations end, the line closes, the state is saved. */
  async close(): Promise<void> {
    await this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  emit<K extends keyof NodeEvents>(type: K, detail: NodeEvents[K]): void {
    if (type === "warning") {
      const warning = detail as Warning;
      this.warnings.push(warning);
      if (this.warnings.length > WARNINGS) this.warnings.shift();
    }
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #begin(call: (now: number) => number, options: Begin): ReturnType<Driver["begin"]> {
    return start(() => this.#driver.begin(call, options));
  }

  #signedKey(publicKey: Uint8Array, salt: Uint8Array): Id {
    return start(() => this.#core.signedKeyOf(publicKey, salt, this.#mainline !== undefined));
  }

  /** A verb that only Mainline has. */
  #ofMainline(verb: "scrape" | "sample"): (now: number, of: Id) => number {
    const { core } = this.#driver;
    const found = this.#mainline && core[verb];
    if (found === undefined) throw new DhtError(`only Mainline has ${verb}s: open the node with network: "mainline"`);
    return found.bind(core);
  }

  async #read(
    key: Id,
    salt: Uint8Array | undefined,
    newerThan: bigint | undefined,
    options: OperationOptions,
  ): Promise<Item | undefined> {
    const operation = this.#begin((now) => this.#driver.core.get(now, key, salt, newerThan), options);
    const { done, events } = await operation.finish();
    // What was found before the time was up is found: the last is the newest.
    const value = events.findLast((event) => event.type === "value");
    if (value?.type === "value") return value.item;
    const error = errorOf(done.outcome);
    if (error) throw error;
    return undefined;
  }

  async #store(
    key: Id,
    call: (now: number) => number,
    quorum: number,
    options: OperationOptions,
  ): Promise<PutResult> {
    const { done, events } = await this.#begin(call, options).finish();
    const failures = events.filter(isFailed).map(({ peer, reason }) => ({ peer, reason }));
    const { stored, storeAttempts: attempted } = done.totals;
    const result = { key, stored, attempted, failures, operation: done.operation };
    // Some holders have it although the time was up for the others.
    const error = stored ? undefined : errorOf(done.outcome, result);
    if (error) {
      // Only that one names the renewal, by which it can be withdrawn.
      if (!(error instanceof QueryTimeout)) this.#driver.cancel(done.operation);
      throw error;
    }
    if (stored < quorum) throw new QuorumError(`${stored} nodes took it, ${quorum} were asked for`, result);
    return result;
  }
}
