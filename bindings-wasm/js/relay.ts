// A UDP socket at a distance: datagrams over a WebSocket to `kadlet relay` (docs/relay.md).
import type { Address } from "../pkg/kadlet.js";
import { reasonOf } from "./driver.js";
import { RelayError } from "./errors.js";
import { headerOf, read } from "./frame.js";
import type { RunningNode } from "./node.js";
import type { ContentRequest, Link, Transport, TransportHost } from "./transport.js";

/** The first pause before another attempt, milliseconds; it doubles, with a random part. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 30_000;
/** A relay that does not greet for so long is none. */
const GREETING = 15_000;
/** Datagrams are dropped while so many bytes wait for the line: they would come too late. */
const BACKLOG = 1 << 20;
/** Any code but 1000 says that we may be back. */
const LEAVING = 4000;
/** Who says nothing for so long, until we leave, is tried through the relay from then on. */
const SILENT = 2000;
/** Reasons that are counted: a relay has nine. */
const REASONS = 16;
/** Headers that are kept ready. */
const HEADERS = 4096;
/** Fetches at once: what a relay allows one client (docs/relay.md). */
const FETCHES = 4;
/** A relay that is busy, and does not say for how long, is asked again after so long. */
const BUSY = 1000;

const CODES: Readonly<Record<number, string>> = {
  1009: "a frame was too long for the relay",
  4400: "the relay does not understand this client",
  4401: "the relay wants a token, or another one",
  4403: "the relay lets no page of this origin connect",
  4408: "the relay ended a connection on which nothing was sent",
  4409: "another connection took this session over",
  4429: "the relay has too many clients, in all or from here",
  4503: "the relay is stopping",
};

/** How a relay is used. */
export interface RelayOptions {
  /** What the relay's `--token` wants. */
  readonly token?: string | undefined;
  /** Another WebSocket than the global one: Node.js has none before 22. */
  readonly WebSocket?: typeof WebSocket | undefined;
}

/** What a relay said when it let us in. */
export interface Hello {
  readonly addresses: readonly Address[];
  readonly session: string;
  readonly resumed: boolean;
  readonly mtu: number;
  readonly stun: string | undefined;
  readonly serve: boolean;
}

/** What came over the line and was none of ours to use. */
export interface RelayCounters {
  /** Frames that are no datagram and no message. */
  malformed: number;
  /** Datagrams that we dropped: no line, or too many before them. */
  unsent: number;
  /** Datagrams that the relay dropped, by its reason. */
  readonly dropped: Record<string, number>;
  /** How often the line was there again. */
  reconnects: number;
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

/** Reads a text frame; undefined if it is none that we know. */
function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function helloOf(message: Record<string, unknown>): Hello | undefined {
  const { addresses, session, resumed, mtu, stun, serve, version } = message;
  if (version !== 1 || !isStrings(addresses) || !addresses.length) return undefined;
  if (typeof session !== "string" || !/^[0-9a-f]{1,64}$/.test(session)) return undefined;
  if (typeof mtu !== "number" || !(mtu >= 512 && mtu <= 65_535) || !addresses.every(headerOf)) return undefined;
  return {
    addresses: addresses.slice(0, 2),
    session,
    resumed: resumed === true,
    mtu: Math.floor(mtu),
    stun: typeof stun === "string" ? stun : undefined,
    serve: serve !== false,
  };
}

/** The relay's address, checked before a browser says nothing more than that it failed. */
export function relayUrl(text: string): URL {
  let url: URL | undefined;
  try {
    // Of a page only a path means a place: an address without a scheme would be one as well.
    url = new URL(text, text.startsWith("/") ? globalThis.location?.href : undefined);
    url.protocol = url.protocol.replace(/^http/, "ws");
  } catch {}
  if (url?.protocol !== "ws:" && url?.protocol !== "wss:") {
    throw new RelayError(`${text}: a relay's URL begins with ws:// or wss://`);
  }
  if (url.pathname === "/") url.pathname = "/relay";
  url.hash = "";
  const near = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (globalThis.location?.protocol === "https:" && url.protocol === "ws:" && !near) {
    throw new RelayError(`a page from https may not connect to ${text}: the relay needs wss://`);
  }
  return url;
}

/** Waits until what `begin` was given is called; an abort does what `begin` gave. */
function wait(signal: AbortSignal, begin: (done: () => void) => () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(reasonOf(signal));
    const abort = (): void => {
      undo();
      reject(reasonOf(signal));
    };
    signal.addEventListener("abort", abort, { once: true });
    const undo = begin(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
  });
}

/** The same answer; `end` is called once it has been read, or has failed, or was left. */
function watched(response: Response, end: () => void): Response {
  const reader = response.body?.getReader();
  if (reader === undefined) {
    end();
    return response;
  }
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { value, done } = await reader.read();
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        end();
      },
      cancel(reason) {
        end();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, response);
}

/** Closes what nobody listens to any more. */
function leave(socket: WebSocket, code?: number): void {
  socket.onclose = socket.onmessage = null;
  // To be closed before it was open is an error; of the package `ws` one that nobody hears ends the
  // process.
  socket.onerror = () => {};
  socket.close(code);
}

/** The relay transport. */
export class RelayTransport implements Transport {
  readonly url: URL;
  readonly counters: RelayCounters = { malformed: 0, unsent: 0, dropped: Object.create(null), reconnects: 0 };
  /** What the relay said last; undefined while there is no line. */
  hello: Hello | undefined;
  #WebSocket: typeof WebSocket;
  #socket: WebSocket | undefined;
  #host: TransportHost | undefined;
  #session: string | undefined;
  #closed = false;
  /** Ends the attempt under way. */
  #end = new AbortController();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #headers = new Map<Address, Uint8Array | undefined>();

  constructor(url: string, options: RelayOptions = {}) {
    this.url = relayUrl(url);
    if (options.token !== undefined) this.url.searchParams.set("token", options.token);
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    if (Socket === undefined) {
      throw new RelayError("there is no WebSocket here: Node.js has one from 22 on; or give one as an option");
    }
    this.#WebSocket = Socket;
  }

  async open(host: TransportHost, signal: AbortSignal): Promise<Link> {
    if (signal.aborted) throw reasonOf(signal);
    this.#host = host;
    this.#session = host.recall?.(this.#place());
    const hello = await this.#connect(signal);
    globalThis.addEventListener?.("online", this.#soon);
    globalThis.addEventListener?.("pagehide", this.#leave);
    return hello;
  }

  /** What its session is remembered by: that of another network, or of another relay, is of no use. */
  #place = (): string => `${this.url.origin} ${this.#host?.network}`;

  #keep(session: string | undefined): void {
    this.#session = session;
    this.#host?.remember?.(this.#place(), session);
  }

  /** The page goes, and may be back in a moment: the relay keeps our port for a minute. */
  #leave = (): void => {
    const known = this.#session !== undefined && this.#host?.recall?.(this.#place()) === this.#session;
    if (known) this.#socket?.close(LEAVING);
  };

  /** The network is said to be there again: no need to wait. */
  #soon = (): void => {
    if (this.#timer !== undefined) this.#again(0);
  };

  /** One attempt, to the relay's greeting. */
  #connect(signal: AbortSignal): Promise<Hello> {
    const url = new URL(this.url);
    url.searchParams.set("network", this.#host?.network ?? "");
    if (this.#session !== undefined) url.searchParams.set("session", this.#session);
    return new Promise((resolve, reject) => {
      let socket: WebSocket;
      try {
        socket = new this.#WebSocket(url, "kadlet-relay.1");
      } catch (cause) {
        // As in a worker from a blob: of a page from https, whose own address does not say so.
        return reject(Object.assign(this.#why(1006, ""), { cause }));
      }
      socket.binaryType = "arraybuffer";
      let greeted = false;
      const refuse = (error: Error): void => {
        clearTimeout(limit);
        signal.removeEventListener("abort", abort);
        reject(error);
      };
      const give = (error: Error): void => {
        leave(socket);
        refuse(error);
      };
      const abort = (): void => give(reasonOf(signal));
      const limit = setTimeout(() => give(new RelayError(`the relay at ${this.url.host} does not greet`)), GREETING);
      signal.addEventListener("abort", abort, { once: true });
      socket.onmessage = ({ data }: MessageEvent<unknown>) => {
        if (data instanceof ArrayBuffer) {
          if (!this.#received(new Uint8Array(data))) this.counters.malformed += 1;
          return;
        }
        const message = typeof data === "string" ? parse(data) : undefined;
        if (message?.["type"] !== "hello") {
          if (message === undefined || typeof message["type"] !== "string") this.counters.malformed += 1;
          else this.#told(message);
          return;
        }
        const hello = greeted ? undefined : helloOf(message);
        if (hello === undefined) {
          this.counters.malformed += 1;
          if (!greeted) give(new RelayError(`what answers at ${this.url.host} is no relay that this version knows`));
          return;
        }
        greeted = true;
        clearTimeout(limit);
        signal.removeEventListener("abort", abort);
        this.#socket = socket;
        this.#keep(hello.session);
        this.hello = hello;
        this.#failures = 0;
        resolve(hello);
      };
      // Not every WebSocket closes what it could not open.
      socket.onerror = () => {
        if (!greeted) give(this.#why(1006, ""));
      };
      socket.onclose = ({ code, reason }) => {
        const error = this.#why(code, reason);
        if (!greeted) return refuse(error);
        if (code === 4409 && !this.#closed) this.#keep(undefined);
        this.#lost(error);
      };
    });
  }

  #lost(error: Error, pause?: number): void {
    this.#socket = this.hello = undefined;
    if (this.#closed) return;
    this.#host?.down(error);
    this.#again(pause);
  }

  #why(code: number, reason: string): RelayError {
    const known = CODES[code];
    if (known !== undefined) return new RelayError(reason ? `${known}: ${reason}` : known, code);
    // A browser says no more of it, on purpose: the port may be anybody's.
    const what = this.hello ? "was lost" : "failed: nothing listens there, it is no relay, or a policy forbids it";
    return new RelayError(`the connection to the relay at ${this.url.host} ${what}`, code);
  }

  #again(pause = Math.min(FIRST_PAUSE * 2 ** this.#failures, LONGEST_PAUSE)): void {
    clearTimeout(this.#timer);
    // Not all clients of a relay that comes back at the same moment.
    this.#timer = setTimeout(() => this.#retry(), pause * (0.5 + Math.random() / 2));
  }

  async #retry(): Promise<void> {
    this.#timer = undefined;
    if (this.#closed) return;
    this.#failures += 1;
    try {
      const hello = await this.#connect(this.#end.signal);
      if (this.#closed) return;
      this.counters.reconnects += 1;
      this.#host?.up(hello);
    } catch (error) {
      if (this.#closed) return;
      if (error instanceof RelayError && CODES[error.code ?? 0] !== undefined) {
        this.#host?.warn({ kind: "relay", message: error.message });
      }
      this.#again();
    }
  }

  #received(frame: Uint8Array): boolean {
    const came = read(frame);
    if (came !== undefined) this.#host?.receive(came.datagram, came.from);
    return came !== undefined;
  }

  #told({ type, reason, count }: Record<string, unknown>): void {
    if (type !== "dropped" || typeof reason !== "string" || !/^[a-z_]{1,32}$/.test(reason)) return;
    const { dropped } = this.counters;
    if (!(reason in dropped)) {
      if (Object.keys(dropped).length >= REASONS) return;
      this.#host?.warn({ kind: "relay", message: `the relay dropped datagrams: ${reason.replaceAll("_", " ")}` });
    }
    dropped[reason] = (dropped[reason] ?? 0) + (typeof count === "number" ? count : 1);
  }

  send(datagram: Uint8Array, to: Address): void {
    const socket = this.#socket;
    if (socket?.readyState !== 1 || socket.bufferedAmount > BACKLOG) {
      this.counters.unsent += 1;
      return;
    }
    let header = this.#headers.get(to);
    if (header === undefined) {
      header = headerOf(to);
      if (header === undefined) return;
      if (this.#headers.size >= HEADERS) this.#headers.clear();
      this.#headers.set(to, header);
    }
    const frame = new Uint8Array(header.length + datagram.length);
    frame.set(header);
    frame.set(datagram, header.length);
    socket.send(frame);
  }

  /** Asks a provider itself where a page may, and the relay where it may not. */
  async request({ provider, path, range, waits }: ContentRequest, signal: AbortSignal): Promise<Response> {
    const headers = range ? { Range: `bytes=${range[0]}-${range[1]}` } : {};
    // Providers let caches keep what they say for a year: a lie would be there as long.
    const cache = "no-store";
    const options: RequestInit = { headers, signal, cache, redirect: "error", credentials: "omit", referrerPolicy: "no-referrer" };
    const direct = `http://${provider}${path}`;
    if (globalThis.location?.protocol !== "https:" && !this.#behind.has(provider)) {
      const asked = performance.now();
      try {
        return await fetch(direct, options);
      } catch (error) {
        // Who is left at once may be within reach all the same; whose port is silent is given up later.
        if (signal.aborted && performance.now() - asked < SILENT) throw error;
        if (this.#behind.size >= HEADERS) this.#behind.clear();
        this.#behind.add(provider);
      }
    }
    const leave = await this.#enter(signal, waits);
    try {
      for (;;) {
        const relayed = new URL(`/fetch/${provider}${path}`, this.url);
        relayed.protocol = this.url.protocol.replace(/^ws/, "http");
        relayed.searchParams.set("session", this.#session ?? "");
        const response = await fetch(relayed, options);
        const { status } = response;
        const own = response.headers.get("kadlet-relay");
        if (own !== "busy") {
          // Those are its own words, never the provider's: it does not know our session, as after a
          // restart, or reaches nobody there. Older relays do not say which words are theirs.
          if (own !== null || [403, 502, 504].includes(status)) {
            throw new RelayError(`the relay answers ${status}${own === null ? "" : `: ${own}`}`);
          }
          return watched(response, leave);
        }
        await response.body?.cancel();
        const seconds = Number(response.headers.get("retry-after") ?? NaN);
        const pause = seconds >= 0 ? Math.min(seconds * 1000, LONGEST_PAUSE) : BUSY;
        waits?.(true);
        await wait(signal, (done) => {
          const timer = setTimeout(done, pause);
          return () => clearTimeout(timer);
        });
        waits?.(false);
      }
    } catch (error) {
      leave();
      throw error;
    }
  }

  #fetches = 0;
  #line = new Set<() => void>();

  /** Waits for one of the places that the relay allows us; gives what leaves it. */
  async #enter(signal: AbortSignal, waits: ContentRequest["waits"]): Promise<() => void> {
    if (this.#fetches < FETCHES) this.#fetches += 1;
    else {
      waits?.(true);
      await wait(signal, (done) => {
        this.#line.add(done);
        return () => this.#line.delete(done);
      });
      waits?.(false);
    }
    const leave = (): void => {
      signal.removeEventListener("abort", leave);
      if (left) return;
      left = true;
      // The place goes on to whoever is next.
      const [next] = this.#line;
      if (next === undefined) this.#fetches -= 1;
      else this.#line.delete(next);
      next?.();
    };
    let left = false;
    signal.addEventListener("abort", leave, { once: true });
    return leave;
  }

  /** Providers that we cannot reach ourselves. */
  #behind = new Set<Address>();

  attach(node: RunningNode): void {
    // A line whose other end is gone without a word breaks when TCP has given up, after a quarter of
    // an hour; the core notices within seconds. And of its end we would hear after a minute: a browser
    // waits for the other end's goodbye.
    node.addEventListener("offline", ({ detail }) => {
      const socket = this.#socket;
      if (!detail.offline || !socket) return;
      leave(socket, LEAVING);
      this.#lost(this.#why(LEAVING, ""), 0);
    });
  }

  close(): void {
    this.#closed = true;
    this.#end.abort();
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.#soon);
    globalThis.removeEventListener?.("pagehide", this.#leave);
    // 1000: the relay need not keep our port.
    if (this.#socket?.readyState === 1) {
      this.#keep(undefined);
      this.#socket.close(1000);
    }
    this.#socket = this.hello = undefined;
  }
}
