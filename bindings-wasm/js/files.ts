// Files: what is shared, and fetching from several at once through the core's machine.
import type { Address, Fetch, FetchConfig, HashList, Partly, Provider, Rejection, Request, RequestFailure } from "../pkg/kadlet.js";
import type { Core } from "./core-module.js";
import { type Driver, reasonOf } from "./driver.js";
import { ClosedError, DhtError, NoProvidersError, QueryTimeout } from "./errors.js";
import type { ContentRequest, Shelf, Transport } from "./transport.js";
import { hex } from "./words.js";

/** Bytes hashed at once: other tasks get their turn in between. */
const BLOCK = 1 << 20;
/** 1 HTTP: what `fetch` speaks. */
const HTTP = 1;

/** A file as a page has it. */
export type Shareable = Blob | Uint8Array;

/** How far a fetch is, as often as that changes. */
export interface FetchProgress {
  /** Bytes in all; undefined before they are certain. */
  readonly size: number | undefined;
  /** Bytes that are verified. */
  readonly done: number;
  /** Who has it, and how many pieces each gave. */
  readonly providers: Readonly<Record<Address, number>>;
  /** Who is not asked any more, and why. */
  readonly rejected: Readonly<Record<Address, Rejection>>;
}

/** A file that was fetched. */
export interface Fetched extends FetchProgress {
  readonly size: number;
  /** A name for it that no system takes for another one. */
  readonly name: string;
  /** The file; undefined if `write` took it. */
  readonly blob: Blob | undefined;
}

/** How a file is fetched. */
export interface FetchOptions {
  /** Ends it, and its traffic. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
  readonly progress?: ((progress: FetchProgress) => void) | undefined;
  /** Takes each verified piece, in any order, in place of the blob; at its own speed. */
  readonly write?: ((start: number, bytes: Uint8Array) => void | Promise<void>) | undefined;
  readonly config?: Partly<FetchConfig> | undefined;
}

/** Hashes a file; `check` throws once nobody wants it any more. */
export async function hashesOf(core: Core, file: Shareable, check: () => void): Promise<HashList> {
  const builder = new core.HashListBuilder();
  const size = file instanceof Blob ? file.size : file.length;
  for (let at = 0; at < size; at += BLOCK) {
    check();
    builder.update(await bytesOf(file, at, Math.min(at + BLOCK, size)));
  }
  check();
  return builder.finish();
}

async function bytesOf(file: Shareable, start: number, end: number): Promise<Uint8Array> {
  return file instanceof Blob ? new Uint8Array(await file.slice(start, end).arrayBuffer()) : file.subarray(start, end);
}

/** What is served, by its id. */
export class Shelves implements Shelf {
  #files = new Map<string, { file: Shareable; hashes: HashList; shares: number }>();

  add(file: Shareable, hashes: HashList): void {
    const id = hex(hashes.id());
    const shares = (this.#files.get(id)?.shares ?? 0) + 1;
    this.#files.set(id, { file, hashes, shares });
  }

  /** It is served as long as another share has it. */
  remove(id: Uint8Array): void {
    const held = this.#files.get(hex(id));
    if (held && !--held.shares) this.#files.delete(hex(id));
  }

  answer(path: string): ReturnType<Shelf["answer"]> {
    const [, id, list] = /^\/blake3\/([0-9a-f]{64})(\/hashes)?$/.exec(path) ?? [];
    const held = id === undefined ? undefined : this.#files.get(id);
    if (held === undefined) return undefined;
    const file = list ? held.hashes.encode() : held.file;
    const size = file instanceof Blob ? file.size : file.length;
    return { size, read: (start, end) => bytesOf(file, start, end) };
  }
}

class RequestError extends Error {
  constructor(readonly failure: RequestFailure) {
    super(failure);
  }
}

/** Reads an answer, no more than `limit` bytes of it. */
async function body(response: Response, limit: number, progressed: (bytes: number) => void): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  while (reader && length < limit) {
    const { value, done } = await reader.read();
    if (done) break;
    const part = value.subarray(0, limit - length);
    parts.push(part);
    length += part.length;
    progressed(part.length);
  }
  await reader?.cancel();
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One fetch on its way. */
export class Fetching {
  readonly #machine: Fetch;
  readonly #requests = new Map<number, AbortController>();
  readonly #pieces: Blob[] = [];
  #held: { index: number; start: number; bytes: Uint8Array }[] = [];
  #writing: Promise<void> = Promise.resolve();
  /** Requests that wait for what is being written, their answers being here, or for the relay. */
  readonly #waiting = new Set<number>();
  #list: HashList | undefined;
  #done = 0;
  #providers: Record<Address, number> = {};
  #rejected: Record<Address, Rejection> = {};
  #lookupError: DhtError | undefined;
  #unset: (() => void) | undefined;
  #over = false;
  #failed = false;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;
  readonly #end: Promise<void>;

  constructor(
    readonly driver: Driver,
    core: Core,
    readonly content: Uint8Array,
    size: number | undefined,
    readonly options: FetchOptions,
  ) {
    this.#machine = new core.Fetch(options.config, content, size);
    this.#end = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  async run(providers: AsyncIterableIterator<Provider>): Promise<{ progress: FetchProgress & { size: number }; blob: Blob | undefined }> {
    const { signal, timeout } = this.options;
    const { clock } = this.driver;
    const abort = (): void => void (signal && this.#fail(reasonOf(signal)));
    const late =
      timeout === undefined
        ? undefined
        : clock.at(clock.now() + timeout, () => this.#fail(new QueryTimeout("the time was up", this.#done)));
    const closed = (): void => this.#fail(new ClosedError("the node is closed"));
    this.driver.onClose.add(closed);
    signal?.addEventListener("abort", abort, { once: true });
    const waited = clock.wait();
    try {
      const found = this.#find(providers);
      this.#pump();
      await this.#end;
      void found;
    } finally {
      waited();
      late?.();
      this.driver.onClose.delete(closed);
      signal?.removeEventListener("abort", abort);
      this.#over = true;
      this.#unset?.();
      for (const request of this.#requests.values()) request.abort();
      await providers.return?.();
    }
    const progress = { ...this.#progress(), size: this.#list?.size() ?? 0 };
    return { progress, blob: this.options.write ? undefined : new Blob(this.#pieces) };
  }

  async #find(providers: AsyncIterable<Provider>): Promise<void> {
    const speaks = this.driver.transport.requests ?? HTTP;
    try {
      for await (const { address, transports, holder } of providers) {
        if (this.#over) return;
        if (transports & speaks && this.#machine.providerFound(this.driver.now(), address, holder)) {
          this.#providers[address] = 0;
          this.#tell();
          this.#pump();
        }
      }
    } catch (error) {
      if (error instanceof DhtError) this.#lookupError = error;
      else return this.#fail(error);
    }
    if (this.#over) return;
    this.#machine.noMoreProviders(this.driver.now());
    this.#pump();
  }

  /** Does what the machine says, until it has nothing to say. */
  #pump(): void {
    if (this.#over) return;
    const machine = this.#machine;
    for (let event = machine.pollEvent(); event !== undefined; event = machine.pollEvent()) {
      switch (event.type) {
        case "list_verified":
          this.#list = machine.list();
          break;
        case "piece_verified": {
          const [start = 0, end = 0] = this.#list?.range(event.index) ?? [];
          this.#done += end - start;
          this.#providers[event.provider] = (this.#providers[event.provider] ?? 0) + 1;
          break;
        }
        case "provider_rejected":
          this.#rejected[event.provider] = event.reason;
          break;
        case "done":
          this.#list ??= machine.list();
          this.#take();
          this.#over = true;
          // Not before: a writer that takes no end can still be left. `#take` tells of one that fails.
          void this.#writing.then(this.#resolve, () => {});
          break;
        case "failed":
          this.#fail(event.providers.length ? new NoProvidersError(this.#rejected) : (this.#lookupError ?? new NoProvidersError({})));
          break;
      }
      this.#tell();
    }
    this.#take();
    for (let id = machine.pollCancel(); id !== undefined; id = machine.pollCancel()) this.#requests.get(id)?.abort();
    for (let one = machine.pollRequest(); one !== undefined; one = machine.pollRequest()) void this.#ask(one);
    this.#unset?.();
    const deadline = this.#over ? undefined : machine.pollTimeout();
    this.#unset =
      deadline === undefined
        ? undefined
        : this.driver.clock.at(deadline, () => {
            this.#unset = undefined;
            const now = this.driver.now();
            // Who waits for our writer, or is kept waiting by the relay, is not silent.
            for (const id of this.#waiting) machine.progressed(now, id, 0);
            machine.handleTimeout(now);
            this.#pump();
          });
  }

  /** Hands on what is certain. The last piece can come before the list is: it proves the list. */
  #take(): void {
    if (this.#list === undefined) return;
    const held = this.#held;
    this.#held = [];
    for (const { index, start, bytes } of held) {
      const { write } = this.options;
      // A blob may lie on the disk, where 32 pieces in flight would not lie in memory for long.
      if (write === undefined) this.#pieces[index] = new Blob([bytes as Uint8Array<ArrayBuffer>]);
      else this.#writing = this.#writing.then(() => (this.#failed ? undefined : write(start, bytes)));
      this.#writing.catch((error: unknown) => this.#fail(error));
    }
  }

  async #ask({ id, provider, want }: Request): Promise<void> {
    const abort = new AbortController();
    this.#requests.set(id, abort);
    const machine = this.#machine;
    const { clock } = this.driver;
    let busy = clock.busy();
    const waits = (waiting: boolean): void => {
      busy();
      if (waiting) this.#waiting.add(id);
      else if (this.#waiting.delete(id)) busy = clock.busy();
      if (!this.#over) machine.progressed(this.driver.now(), id, 0);
    };
    try {
      const bytes = await this.#get(id, provider, want, waits, abort.signal);
      // No more is asked for than is written, or the whole file would wait in memory.
      busy();
      this.#waiting.add(id);
      await this.#writing;
      if (this.#over) return;
      const now = this.driver.now();
      if (want.type === "hash_list") machine.listReceived(now, id, bytes);
      else if (machine.pieceReceived(now, id, bytes) === "accepted") {
        this.#held.push({ index: want.index, start: want.start, bytes });
      }
    } catch (error) {
      if (this.#over) return;
      machine.requestFailed(this.driver.now(), id, error instanceof RequestError ? error.failure : "disconnected");
    } finally {
      // What is left of an answer that was refused would fill the memory, for nobody reads it.
      abort.abort();
      this.#requests.delete(id);
      this.#waiting.delete(id);
      busy();
    }
    this.#pump();
  }

  async #get(
    id: number,
    provider: Address,
    want: Request["want"],
    waits: (waiting: boolean) => void,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const piece = want.type === "piece";
    const request: ContentRequest = {
      provider,
      path: `/blake3/${hex(this.content)}${piece ? "" : "/hashes"}`,
      ...(piece ? { range: [want.start, want.end - 1] as const } : {}),
      waits,
    };
    const response = await ask(this.driver.transport, request, signal);
    switch (response.status) {
      case piece ? 206 : 200:
        break;
      case 404:
        throw new RequestError("not_found");
      case 429:
      case 503:
        throw new RequestError("busy");
      default:
        throw new RequestError("malformed");
    }
    const limit = piece ? want.end - want.start : want.maxLen;
    const bytes = await body(response, limit, (count) => {
      if (!this.#over) this.#machine.progressed(this.driver.now(), id, count);
    });
    if (piece && bytes.length !== limit) throw new RequestError("disconnected");
    return bytes;
  }

  #progress(): FetchProgress {
    return {
      size: this.#list?.size(),
      done: this.#done,
      providers: { ...this.#providers },
      rejected: { ...this.#rejected },
    };
  }

  #tell(): void {
    try {
      this.options.progress?.(this.#progress());
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#over = this.#failed = true;
    this.#reject(error);
  }
}

async function ask(transport: Transport, request: ContentRequest, signal: AbortSignal): Promise<Response> {
  try {
    if (transport.request) return await transport.request(request, signal);
    const { provider, path, range } = request;
    const headers = range ? { Range: `bytes=${range[0]}-${range[1]}` } : {};
    return await fetch(`http://${provider}${path}`, { headers, signal, redirect: "error", cache: "no-store" });
  } catch {
    throw new RequestError("unreachable");
  }
}
