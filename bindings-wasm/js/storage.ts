// Where a node's state is kept: what the core exports, and when that was.

/** Keeps one state. */
export interface StateStore {
  /** What was saved last; undefined if nothing was. */
  load(): Promise<Uint8Array | undefined>;
  /** Replaces it, wholly or not at all. */
  save(state: Uint8Array): Promise<void>;
  /** Lets another node use it. */
  close?(): void;
  /** What was remembered beside the state, for a reload alone. */
  recall?(key: string): string | undefined;
  /** Remembers a few words until the tab is closed, or forgets them. */
  remember?(key: string, words: string | undefined): void;
}

/** "KDLF", the time (seconds since 1970, big-endian binary64), then the core's bytes. */
const MAGIC = 0x4b44_4c46;
const HEADER = 12;

export function pack(state: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + state.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setFloat64(4, Date.now() / 1000);
  bytes.set(state, HEADER);
  return bytes;
}

/** The core's bytes, and how many milliseconds ago they were written; undefined: these are none. */
export function unpack(bytes: Uint8Array): { state: Uint8Array; elapsed: number } | undefined {
  if (bytes.length < HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (view.getUint32(0) !== MAGIC) return undefined;
  const written = view.getFloat64(4);
  // A clock that was set back, or a damaged time: as if no time had passed.
  const elapsed = written >= 0 ? Math.max(Date.now() - written * 1000, 0) : 0;
  return { state: bytes.subarray(HEADER), elapsed };
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's database failed"));
  });
}

const DATABASE = "kadlet";
const STATES = "states";

class Database implements StateStore {
  #database: IDBDatabase | undefined;

  constructor(readonly name: string) {}

  /** The browser closes it when it likes, as when a site's data is cleared: then it is opened anew. */
  async open(): Promise<IDBDatabase> {
    if (this.#database) return this.#database;
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STATES);
    const database = await done(request);
    database.onclose = () => (this.#database = undefined);
    // Somebody deletes it, or a later version of ours opens it: both wait until all others have closed it.
    database.onversionchange = () => {
      database.close();
      this.#database = undefined;
    };
    return (this.#database = database);
  }

  async load(): Promise<Uint8Array | undefined> {
    const states = (await this.open()).transaction(STATES).objectStore(STATES);
    const value: unknown = await done(states.get(this.name));
    return value instanceof Uint8Array ? value : undefined;
  }

  async save(state: Uint8Array): Promise<void> {
    const database = await this.open();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(STATES, "readwrite");
      transaction.oncomplete = () => resolve();
      // Every failure ends so, and the reason is not known before.
      transaction.onabort = () => reject(transaction.error ?? new Error("the browser's database is full"));
      transaction.objectStore(STATES).put(state, this.name);
    });
  }

  close(): void {
    this.#database?.close();
  }
}

/** For browsers whose IndexedDB cannot be opened, as in some private windows. */
class Local implements StateStore {
  constructor(readonly name: string) {}

  async load(): Promise<Uint8Array | undefined> {
    const text = localStorage.getItem(`${DATABASE}:${this.name}`);
    return text === null ? undefined : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  }

  async save(state: Uint8Array): Promise<void> {
    let text = "";
    for (const byte of state) text += String.fromCharCode(byte);
    localStorage.setItem(`${DATABASE}:${this.name}`, btoa(text));
  }
}

/** Holds a name for one tab; undefined if another one has it. */
async function hold(name: string): Promise<(() => void) | undefined> {
  // Where the browser has no locks (a page from http), nobody can be kept out.
  const locks = globalThis.navigator?.locks;
  if (locks === undefined) return () => {};
  return new Promise((resolve, reject) => {
    const held = locks.request(`${DATABASE}:${name}`, { ifAvailable: true }, (lock) => {
      if (lock === null) return resolve(undefined);
      return new Promise<void>((release) => resolve(release));
    });
    held.catch(reject);
  });
}

/** What a tab keeps over a reload; where it may keep nothing, nothing is remembered. */
function inTab<T>(use: (tab: Storage) => T): T | undefined {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}

/** The browser's own storage. Rejects with the reason if there is none, or another tab uses it. */
export async function browserStore(name: string): Promise<StateStore> {
  const release = await hold(name);
  if (release === undefined) throw new Error(`another tab uses the state ${name}`);
  const database = new Database(name);
  let store: StateStore = database;
  try {
    await database.open();
  } catch {
    store = new Local(name);
    try {
      await store.load();
    } catch (error) {
      release();
      throw error;
    }
  }
  const beside = (key: string): string => `${DATABASE}:${name}:${key}`;
  return {
    load: () => store.load(),
    save: (state) => store.save(state),
    recall: (key) => inTab((tab) => tab.getItem(beside(key)) ?? undefined),
    remember: (key, words) =>
      inTab((tab) => (words === undefined ? tab.removeItem(beside(key)) : tab.setItem(beside(key), words))),
    close() {
      store.close?.();
      release();
    },
  };
}
