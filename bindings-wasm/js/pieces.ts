// The requests of docs/content.md on an ordered data channel. Each message is one byte that says what
// it is, the request's number (4 bytes, big-endian), and the rest (docs/webrtc.md).
import type { ContentRequest, Shelf } from "./transport.js";

const REQUEST = 1;
const HEAD = 2;
const DATA = 3;
const END = 4;
const CANCEL = 5;
const PROOF = 6;

/** Bytes of a file in one message: what every browser passes on at once. */
const CHUNK = 16 * 1024;
/** Requests that one peer may have open with us. */
const AT_ONCE = 32;
/** Bytes that may wait in the channel: more would wait in memory for nothing. */
const WAITING = 256 * 1024;
/** Who has so much waiting takes no answers and asks on: more than all answers at once make up. */
const BACKLOG = 1 << 20;
/** Who takes nothing of its answers between two looks, so long apart (milliseconds), has gone. */
const STALLED = 30_000;
/** The longest path and range, and the longest proof, bytes. */
const LONGEST = 128;
/** The longest range that is answered. */
const MAX_RANGE = 16 * 1024 * 1024;

function message(kind: number, number: number, rest: Uint8Array = new Uint8Array()): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(5 + rest.length);
  whole[0] = kind;
  new DataView(whole.buffer).setUint32(1, number);
  whole.set(rest, 5);
  return whole;
}

/** A message, read: a request's path is empty if it is none that finds anything. */
export type Message =
  | { readonly kind: typeof REQUEST; readonly number: number; readonly path: string; readonly range?: readonly [number, number] }
  | { readonly kind: typeof HEAD; readonly number: number; readonly status: number }
  | { readonly kind: typeof DATA; readonly number: number; readonly data: Uint8Array }
  | { readonly kind: typeof END | typeof CANCEL; readonly number: number }
  | { readonly kind: typeof PROOF; readonly number: number; readonly proof: string };

/** Reads a message; undefined if it is none. */
export function parse(bytes: Uint8Array): Message | undefined {
  if (bytes.length < 5) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const number = view.getUint32(1);
  const rest = bytes.subarray(5);
  switch (bytes[0]) {
    case REQUEST: {
      if (rest.length > LONGEST) return undefined;
      const [, path = "", first, last] = /^(\S+)(?: (\d{1,15})-(\d{1,15}))?$/.exec(new TextDecoder().decode(rest)) ?? [];
      const asked = { kind: REQUEST, number, path } as const;
      return first === undefined ? asked : { ...asked, range: [Number(first), Number(last)] };
    }
    case HEAD: {
      const status = rest.length === 2 ? view.getUint16(5) : 0;
      // No `Response` with a body takes the last three.
      const wrong = status < 200 || status > 599 || [204, 205, 304].includes(status);
      return wrong ? undefined : { kind: HEAD, number, status };
    }
    case DATA:
      return { kind: DATA, number, data: rest };
    case END:
      return { kind: END, number };
    case CANCEL:
      return { kind: CANCEL, number };
    case PROOF:
      return number || rest.length > LONGEST ? undefined : { kind: PROOF, number, proof: new TextDecoder().decode(rest) };
    default:
      return undefined;
  }
}

interface Open {
  head(status: number): void;
  data(bytes: Uint8Array): void;
  end(): void;
  fail(why: Error): void;
}

/** Both sides of one channel: what we ask there, and what is asked of us. */
export class Pieces {
  #next = 1;
  #asked = new Map<number, Open>();
  #answering = new Map<number, AbortController>();
  /** Bytes given to the channel. */
  #sent = 0;

  constructor(
    readonly channel: RTCDataChannel,
    readonly shelf: () => Shelf | undefined,
    /** The peer broke the rules. */
    readonly broken: () => void,
    /** The peer shows what it was told. */
    readonly shown: (proof: string) => void,
  ) {
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = WAITING / 2;
    channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      const message = data instanceof ArrayBuffer ? parse(new Uint8Array(data)) : undefined;
      if (message) this.#came(message);
      else broken();
    });
    channel.addEventListener("close", () => this.close());
  }

  close(): void {
    for (const one of this.#asked.values()) one.fail(new TypeError("the channel is closed"));
    this.#asked.clear();
    for (const one of this.#answering.values()) one.abort();
    this.#answering.clear();
  }

  /** Whether anything of a file is on its way. */
  get busy(): boolean {
    return this.#asked.size + this.#answering.size > 0;
  }

  /** Asks the peer; the answer's body comes as it arrives. */
  request({ path, range }: ContentRequest, signal: AbortSignal): Promise<Response> {
    const number = this.#next++;
    const text = range ? `${path} ${range[0]}-${range[1]}` : path;
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      let body: ReadableStreamDefaultController<Uint8Array> | undefined;
      const over = (): void => {
        this.#asked.delete(number);
        signal.removeEventListener("abort", stop);
      };
      const stop = (): void => {
        if (!this.#asked.has(number)) return;
        over();
        this.#send(message(CANCEL, number));
        const why = new DOMException("the request was left", "AbortError");
        reject(why);
        body?.error(why);
      };
      signal.addEventListener("abort", stop, { once: true });
      this.#asked.set(number, {
        head: (status) => {
          if (body) return this.broken();
          const stream = new ReadableStream<Uint8Array>({ start: (controller) => void (body = controller), cancel: stop });
          resolve(new Response(stream, { status }));
        },
        data: (bytes) => (body ? body.enqueue(bytes) : this.broken()),
        end: () => {
          if (!body) return this.broken();
          over();
          body.close();
        },
        fail: (why) => {
          over();
          reject(why);
          body?.error(why);
        },
      });
      if (!this.#send(message(REQUEST, number, new TextEncoder().encode(text)))) {
        over();
        reject(new TypeError("the channel is closed"));
      }
    });
  }

  /** Shows the peer what it told us. */
  show(proof: string): void {
    this.#send(message(PROOF, 0, new TextEncoder().encode(proof)));
  }

  /** False if the channel takes nothing more. */
  #send(bytes: Uint8Array<ArrayBuffer>): boolean {
    const { channel } = this;
    if (channel.readyState !== "open") return false;
    try {
      if (channel.bufferedAmount > BACKLOG) throw new RangeError();
      channel.send(bytes);
      this.#sent += bytes.length;
      return true;
    } catch {
      this.broken();
      return false;
    }
  }

  #came(message: Message): void {
    const { number } = message;
    // What belongs to a request that was left is no fault: it was on its way.
    const asked = this.#asked.get(number);
    switch (message.kind) {
      case REQUEST:
        return void this.#answer(number, message.path, message.range);
      case HEAD:
        return asked?.head(message.status);
      case DATA:
        return asked?.data(message.data);
      case END:
        return asked?.end();
      case CANCEL:
        return this.#answering.get(number)?.abort();
      case PROOF:
        return this.shown(message.proof);
    }
  }

  async #answer(number: number, path: string, range: readonly [number, number] | undefined): Promise<void> {
    if (this.#answering.has(number)) return this.broken();
    const abort = new AbortController();
    const head = (status: number): boolean => this.#send(message(HEAD, number, new Uint8Array([status >> 8, status & 255])));
    const refuse = (status: number): void => void (head(status) && this.#send(message(END, number)));
    if (this.#answering.size >= AT_ONCE) return refuse(429);
    this.#answering.set(number, abort);
    try {
      const held = this.shelf()?.answer(path);
      if (held === undefined) return refuse(404);
      const [start, last] = range ?? [0, held.size - 1];
      const end = Math.min(last + 1, held.size);
      if (start > end || (range && start >= end) || end - start > MAX_RANGE) return refuse(416);
      head(range ? 206 : 200);
      for (let at = start; at < end && !abort.signal.aborted; at += CHUNK) {
        const bytes = await held.read(at, Math.min(at + CHUNK, end));
        await this.#room(abort.signal);
        if (abort.signal.aborted || !this.#send(message(DATA, number, bytes))) return;
      }
      if (!abort.signal.aborted) this.#send(message(END, number));
    } catch {
      // The file cannot be read any more: the end without all of it says so.
      this.#send(message(END, number));
    } finally {
      this.#answering.delete(number);
    }
  }

  /** Waits until few bytes wait in the channel; a peer that takes none of them holds no place for long. */
  #room(signal: AbortSignal): Promise<void> | undefined {
    const { channel } = this;
    if (channel.bufferedAmount < WAITING || signal.aborted) return undefined;
    return new Promise((resolve) => {
      const taken = (): number => this.#sent - channel.bufferedAmount;
      let before = taken();
      const look = setInterval(() => {
        const now = taken();
        if (now === before) this.broken();
        before = now;
      }, STALLED);
      const done = (): void => {
        clearInterval(look);
        channel.removeEventListener("bufferedamountlow", done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      channel.addEventListener("bufferedamountlow", done);
      signal.addEventListener("abort", done);
    });
  }
}
