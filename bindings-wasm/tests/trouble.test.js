// What goes wrong around a node: relays that talk nonsense, pages that may not, storage that will not.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { systemClock } from "../dist/clock.js";
import { loader } from "../dist/core-module.js";
import { headerOf, read } from "../dist/frame.js";
import { LoadError, RelayError, RelayTransport, createNode } from "../dist/index.js";
import { opener } from "../dist/opener.js";
import { browserStore } from "../dist/storage.js";

const HELLO = {
  type: "hello", version: 1, addresses: ["127.0.0.1:4000"], session: "ab", resumed: false, mtu: 1232, stun: null, serve: true,
};

/** A WebSocket to a relay that says what the test wants. */
class Fake {
  static all = [];
  static greeting = HELLO;
  static made;
  readyState = 1;
  bufferedAmount = 0;
  sent = [];

  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
    Fake.all.push(this);
    Fake.made?.(this);
    queueMicrotask(() => Fake.greeting && this.text(Fake.greeting));
  }

  text(message) {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  bytes(...bytes) {
    this.onmessage?.({ data: Uint8Array.from(bytes).buffer });
  }

  send(frame) {
    this.sent.push(frame);
  }

  drop(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  close(code) {
    this.closed = code;
    this.readyState = 3;
  }
}

function withGlobal(t, name, value) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, { value, configurable: true });
  t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
}

async function faked(t, options = {}) {
  Fake.all = [];
  Fake.greeting = HELLO;
  Fake.made = undefined;
  const transport = new RelayTransport("ws://relay.example", { WebSocket: Fake });
  const node = await createNode({ transport, ...options });
  t.after(() => node.close());
  return { node, transport, socket: Fake.all[0] };
}

test("malformed frames are counted, ignored, and the node goes on", async (t) => {
  const { node, transport, socket } = await faked(t);
  for (const text of ["", "{", "[]", "null", "7", '{"type":7}', '{"type":"hello"}']) socket.text(text);
  socket.bytes();
  socket.bytes(5, 1, 2, 3);
  socket.bytes(4, 10, 0, 0, 1, 0, 0, 9);
  socket.bytes(4, 10, 0, 0, 1, 1, 1);
  socket.onmessage({ data: new Blob([]) });
  assert.equal(transport.counters.malformed, 12);
  socket.text({ type: "news", of: "a later version" });
  socket.text({ type: "dropped", reason: "<script>", count: 1 });
  socket.text({ type: "dropped", reason: "rate", count: 3 });
  assert.deepEqual({ ...transport.counters.dropped }, { rate: 3 });
  assert.deepEqual(node.warnings, [{ kind: "relay", message: "the relay dropped datagrams: rate" }]);
  // What every object has is no reason that is known, and of reasons there are few.
  socket.text({ type: "dropped", reason: "constructor", count: 2 });
  assert.equal(transport.counters.dropped.constructor, 2);
  assert.equal(node.warnings.length, 2);
  for (let n = 1; n <= 32; n++) socket.text({ type: "dropped", reason: "x".repeat(n), count: 1 });
  assert.deepEqual([Object.keys(transport.counters.dropped).length, node.warnings.length], [16, 16]);
  // What is inside a frame that is one is the core's to count.
  socket.bytes(4, 10, 0, 0, 1, 1, 1, 9, 9, 9);
  assert.equal(node.stats().datagramsIn, 1);
  assert.equal(Object.values(node.stats().rejected)[0], 1);
});

test("a relay that greets in another way is none", async () => {
  for (const wrong of [{ version: 2 }, { addresses: [] }, { addresses: ["localhost:1"] }, { mtu: 3 }, { session: 1 }, { session: "" }, { session: "x" }, { session: "a".repeat(65) }]) {
    Fake.greeting = { ...HELLO, ...wrong };
    const transport = new RelayTransport("ws://relay.example", { WebSocket: Fake });
    await assert.rejects(createNode({ transport }), /is no relay that this version knows/);
  }
});

test("a lost line is taken up with its session, and one that was taken over without", async (t) => {
  const { node, socket } = await faked(t);
  const up = once(node, "up");
  const down = once(node, "down");
  socket.drop(1006);
  assert.match((await down)[0].detail.reason.message, /was lost/);
  await up;
  assert.equal(Fake.all[1].url.searchParams.get("session"), "ab");
  assert.equal(Fake.all[1].protocol, "kadlet-relay.1");
  const again = once(node, "up");
  Fake.all[1].drop(4409);
  await again;
  assert.equal(Fake.all[2].url.searchParams.get("session"), null);
  await node.close();
  assert.equal(Fake.all[2].closed, 1000);
});

test("an attempt that is left is heard to its end", async () => {
  const abort = new AbortController();
  const heard = new Promise((resolve) => {
    /** Like that of the package `ws`, where an error that nobody hears ends the process. */
    class Opening {
      readyState = 0;

      constructor() {
        queueMicrotask(() => abort.abort());
      }

      close() {
        process.nextTick(() => resolve(typeof this.onerror));
      }
    }
    const transport = new RelayTransport("ws://relay.example", { WebSocket: Opening });
    assert.rejects(createNode({ transport, signal: abort.signal }), { name: "AbortError" });
  });
  assert.equal(await heard, "function");
});

test("a WebSocket that is not even made is a relay that cannot be used", async () => {
  const cause = new DOMException("insecure", "SecurityError");
  class Refused {
    constructor() {
      throw cause;
    }
  }
  const transport = new RelayTransport("ws://relay.example", { WebSocket: Refused });
  await assert.rejects(createNode({ transport }), (error) => {
    assert.ok(error instanceof RelayError);
    assert.match(error.message, /the relay at relay.example failed: .* or a policy forbids it/);
    return error.cause === cause;
  });
});

test("a node that is closed leaves the attempt under way", async (t) => {
  const { node, transport, socket } = await faked(t);
  const made = new Promise((resolve) => (Fake.made = resolve));
  Fake.greeting = undefined;
  socket.drop(1006);
  const late = await made;
  await node.close();
  late.text(HELLO);
  assert.deepEqual([late.readyState, transport.hello], [3, undefined]);
});

test("a line on which nobody answers is taken up anew", async (t) => {
  const { node, socket } = await faked(t);
  node.emit("offline", { type: "offline", offline: false });
  assert.equal(socket.closed, undefined);
  const down = once(node, "down");
  const up = once(node, "up");
  node.emit("offline", { type: "offline", offline: true });
  // The relay keeps our port for the next line.
  assert.equal(socket.closed, 4000);
  assert.match((await down)[0].detail.reason.message, /was lost/);
  // Nobody waits for the end of the old one, which a browser tells after a minute.
  await up;
  assert.equal(Fake.all[1].url.searchParams.get("session"), "ab");
  socket.bytes(4, 10, 0, 0, 1, 1, 1, 9, 9, 9);
  socket.drop(4409);
  assert.equal(node.stats().datagramsIn, 0);
  const again = once(node, "up");
  Fake.all[1].drop(1006);
  await again;
  assert.deepEqual([Fake.all.length, Fake.all[2].url.searchParams.get("session")], [3, "ab"]);
});

test("a node that a public relay does not let serve is a client", async (t) => {
  Fake.all = [];
  Fake.greeting = { ...HELLO, serve: false };
  const transport = new RelayTransport("ws://relay.example", { WebSocket: Fake });
  const node = await createNode({ transport });
  t.after(() => node.close());
  assert.equal(node.health().server, false);
  // Which it stays if the relay says otherwise later, and says so once.
  for (const [serve, warnings] of [[false, 0], [true, 1], [false, 1], [true, 1]]) {
    Fake.greeting = { ...HELLO, serve };
    const up = once(node, "up");
    Fake.all.at(-1).drop(1006);
    await up;
    assert.equal(node.warnings.length, warnings);
  }
  const message = "others may now rely on this node: that counts once it is opened anew";
  assert.deepEqual(node.warnings, [{ kind: "transport", message }]);
  assert.equal(node.health().server, false);
});

test("a node that a relay does not let serve any more says so", async (t) => {
  const { node, socket } = await faked(t);
  Fake.greeting = { ...HELLO, serve: false };
  const up = once(node, "up");
  socket.drop(1006);
  await up;
  assert.match(node.warnings[0].message, /^others may no longer rely on this node/);
});

test("datagrams are dropped while too many wait", async (t) => {
  const { transport, socket } = await faked(t);
  transport.send(Uint8Array.of(1), "10.0.0.1:7");
  assert.deepEqual(socket.sent, [Uint8Array.of(4, 10, 0, 0, 1, 0, 7, 1)]);
  socket.bufferedAmount = 1 << 21;
  transport.send(Uint8Array.of(1), "10.0.0.1:7");
  assert.equal(socket.sent.length, 1);
  assert.equal(transport.counters.unsent, 1);
});

test("a provider that was silent until it was given up is asked through the relay", async (t) => {
  const { transport } = await faked(t);
  let now = 0;
  withGlobal(t, "performance", { now: () => now });
  const asked = [];
  withGlobal(t, "fetch", async (url, { signal }) => {
    asked.push(new URL(url).host);
    signal.throwIfAborted();
    await once(signal, "abort");
    throw signal.reason;
  });
  // The second is left at once, which says nothing of the provider.
  for (const [after, provider] of [[8000, "10.0.0.1:80"], [0, "10.0.0.2:80"]]) {
    for (let n = 0; n < 2; n++) {
      const abort = new AbortController();
      const request = transport.request({ provider, path: "/" }, abort.signal);
      now += after;
      abort.abort();
      await assert.rejects(request, { name: "AbortError" });
    }
  }
  const direct = asked.filter((host) => host !== "relay.example");
  assert.deepEqual(direct, ["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
});

test("what the relay itself says of a fetch is no answer of the provider's", async (t) => {
  const { transport } = await faked(t);
  let status;
  withGlobal(t, "fetch", async () => new Response(null, { status }));
  const ask = () => transport.request({ provider: "10.0.0.1:80", path: "/" }, new AbortController().signal);
  // A provider that is asked straight says what it likes.
  status = 502;
  assert.equal((await ask()).status, 502);
  withGlobal(t, "location", new URL("https://page.example/"));
  for (status of [403, 502, 504]) await assert.rejects(ask(), { name: "RelayError", message: `the relay answers ${status}` });
  for (status of [206, 404, 429, 503]) assert.equal((await ask()).status, status);
});

const RELAYED = { provider: "10.0.0.1:80", path: "/" };
const own = (reason, status, headers) => new Response("in the relay's words", { status, headers: { "kadlet-relay": reason, ...headers } });

test("a relay that is busy is waited for, and what else it says of itself is no provider's answer", async (t) => {
  const { transport } = await faked(t);
  withGlobal(t, "location", new URL("https://page.example/"));
  const pauses = [];
  let meanwhile;
  withGlobal(t, "setTimeout", (call, after) => (pauses.push(after), queueMicrotask(meanwhile ?? call)));
  const answers = [own("busy", 429, { "retry-after": "3" }), own("busy", 429), own("busy", 429, { "retry-after": "soon" }), new Response("its own", { status: 206 })];
  withGlobal(t, "fetch", async () => answers.shift());
  const waits = [];
  const ask = (signal = new AbortController().signal) =>
    transport.request({ ...RELAYED, waits: (waiting) => waits.push(waiting) }, signal);
  const answer = await ask();
  assert.deepEqual([answer.status, await answer.text()], [206, "its own"]);
  assert.deepEqual(pauses, [3000, 1000, 1000]);
  assert.deepEqual(waits, [true, false, true, false, true, false]);
  for (const [reason, status] of [["unanswered", 429], ["unreachable", 502], ["silent", 504], ["session", 403]]) {
    answers.push(own(reason, status));
    await assert.rejects(ask(), { name: "RelayError", message: `the relay answers ${status}: ${reason}` });
  }
  // Who leaves meanwhile does not wait.
  const abort = new AbortController();
  meanwhile = () => abort.abort();
  answers.push(own("busy", 429));
  await assert.rejects(ask(abort.signal), { name: "AbortError" });
});

test("as much is asked of the relay at once as it allows, each until its answer is read, broken or left", async (t) => {
  const { transport } = await faked(t);
  withGlobal(t, "location", new URL("https://page.example/"));
  const bodies = [];
  withGlobal(t, "fetch", async (_, { signal }) => {
    signal.throwIfAborted();
    return new Response(new ReadableStream({ start: (controller) => void bodies.push(controller) }));
  });
  const aborts = [];
  const asked = Array.from({ length: 9 }, () => {
    const abort = new AbortController();
    aborts.push(abort);
    return transport.request(RELAYED, abort.signal);
  });
  const begun = async () => {
    await new Promise(setImmediate);
    return bodies.length;
  };
  assert.equal(await begun(), 4);
  aborts[5].abort();
  await assert.rejects(asked[5], { name: "AbortError" });
  const [first, second, third, fourth] = await Promise.all(asked.slice(0, 4));
  const text = first.text();
  assert.equal(await begun(), 4);
  bodies[0].enqueue(new Uint8Array(3));
  bodies[0].close();
  assert.equal((await text).length, 3);
  assert.equal(await begun(), 5);
  bodies[1].error(new Error("the line broke"));
  await assert.rejects(second.text(), /the line broke/);
  assert.equal(await begun(), 6);
  await third.body.cancel();
  aborts[2].abort();
  assert.equal(await begun(), 7);
  aborts[3].abort();
  assert.equal(await begun(), 8);
});

test("what a provider says is kept in no cache: a lie would stay there", async (t) => {
  const { transport } = await faked(t);
  const caches = [];
  withGlobal(t, "fetch", async (_, { cache }) => (caches.push(cache), new Response()));
  const ask = () => transport.request(RELAYED, new AbortController().signal);
  await ask();
  withGlobal(t, "location", new URL("https://page.example/"));
  await ask();
  assert.deepEqual(caches, ["no-store", "no-store"]);
});

test("a page from https wants wss, but for relays of this machine", (t) => {
  withGlobal(t, "location", new URL("https://page.example/"));
  const options = { WebSocket: Fake };
  assert.throws(() => new RelayTransport("ws://relay.example", options), (error) =>
    error instanceof RelayError && /needs wss/.test(error.message));
  assert.equal(new RelayTransport("wss://relay.example", options).url.href, "wss://relay.example/relay");
  assert.equal(new RelayTransport("ws://127.0.0.1:1", options).url.href, "ws://127.0.0.1:1/relay");
  assert.equal(new RelayTransport("/relay", options).url.href, "wss://page.example/relay");
});

test("what has no scheme is no relay's URL, and no path of the page's either", (t) => {
  const options = { WebSocket: Fake };
  const refused = (url) => assert.throws(() => new RelayTransport(url, options), {
    name: "RelayError", message: `${url}: a relay's URL begins with ws:// or wss://`,
  });
  refused("/relay");
  withGlobal(t, "location", new URL("http://page.example/there/"));
  for (const url of ["127.0.0.1:4681", "relay.example/relay", "localhost:4681", "relay", ""]) refused(url);
  assert.equal(new RelayTransport("/relay", options).url.href, "ws://page.example/relay");
  assert.equal(new RelayTransport("http://relay.example", options).url.href, "ws://relay.example/relay");
});

test("a policy against wasm is named, and a failure is no end", async () => {
  let calls = 0;
  const load = loader({
    default() {
      calls += 1;
      throw new WebAssembly.CompileError("Refused to compile: 'unsafe-eval' is not allowed by Content Security Policy");
    },
  }, () => new Uint8Array());
  await assert.rejects(load(), (error) => error instanceof LoadError && /needs 'wasm-unsafe-eval'/.test(error.message));
  await assert.rejects(load(), LoadError);
  assert.equal(calls, 2);
  const missing = loader({}, () => new URL("file:///there/is/none.wasm"));
  await assert.rejects(missing(), /ENOENT/);
});

test("without IndexedDB the state is in localStorage, and a second tab is told", async (t) => {
  const kept = new Map();
  withGlobal(t, "localStorage", { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) });
  const held = new Set();
  const request = async (name, _, use) => {
    if (held.has(name)) return use(null);
    held.add(name);
    await use({});
    held.delete(name);
  };
  withGlobal(t, "navigator", { locks: { request } });
  const store = await browserStore("mine");
  assert.equal(await store.load(), undefined);
  await store.save(Uint8Array.of(0, 200, 255));
  assert.deepEqual(await store.load(), Uint8Array.of(0, 200, 255));
  const { node } = await faked(t, { state: "mine" });
  assert.match(node.warnings[0].message, /the state is not kept: another tab uses the state mine/);
  store.close();
});

test("a private window without any storage is a warning", async (t) => {
  withGlobal(t, "localStorage", { getItem: () => { throw new DOMException("denied", "SecurityError"); } });
  withGlobal(t, "navigator", {});
  const { node } = await faked(t, { state: "mine" });
  assert.deepEqual(node.warnings, [{ kind: "storage", message: "the state is not kept: denied" }]);
});

test("what a database says when it fails is what is told", async (t) => {
  withGlobal(t, "navigator", {});
  const transaction = { error: null };
  const put = () => queueMicrotask(() => {
    transaction.onerror?.();
    transaction.error = new DOMException("the disk is broken", "UnknownError");
    transaction.onabort();
  });
  const database = { transaction: () => Object.assign(transaction, { objectStore: () => ({ put }) }) };
  withGlobal(t, "indexedDB", {
    open() {
      const request = { result: database };
      queueMicrotask(() => request.onsuccess());
      return request;
    },
  });
  const store = await browserStore("mine");
  await assert.rejects(store.save(Uint8Array.of(1)), /the disk is broken/);
});

test("who leaves while the state is read gets no node", async () => {
  Fake.all = [];
  const closed = [];
  const leaving = async (transport) => {
    const abort = new AbortController();
    const state = { load: async () => void abort.abort(), save: async () => {}, close: () => closed.push("state") };
    await assert.rejects(createNode({ transport, state, signal: abort.signal }), { name: "AbortError" });
  };
  await leaving(new RelayTransport("ws://relay.example", { WebSocket: Fake }));
  assert.deepEqual([Fake.all, closed], [[], ["state"]]);
  // One that asks for no signal.
  const abort = new AbortController();
  const open = async () => (abort.abort(), { addresses: ["127.0.0.1:4000"], mtu: 1232 });
  const transport = { open, send() {}, close: () => void closed.push("transport") };
  const state = { load: async () => undefined, save: async () => {}, close: () => closed.push("state") };
  await assert.rejects(createNode({ transport, state, signal: abort.signal }), { name: "AbortError" });
  assert.deepEqual(closed, ["state", "transport", "state"]);
});

test("neither a core nor a state that does not come holds up who leaves, or whose time is up", async (t) => {
  const never = () => new Promise(() => {});
  const transport = { open: () => assert.fail("it is too late"), send() {}, close() {} };
  let closed = 0;
  const stalled = { load: never, save: never, close: () => (closed += 1) };
  for (const create of [opener(never), (options) => createNode({ ...options, state: stalled })]) {
    const abort = new AbortController();
    const left = create({ transport, signal: abort.signal });
    setImmediate(() => abort.abort());
    await assert.rejects(left, { name: "AbortError" });
    await assert.rejects(create({ transport, timeout: 0 }), { name: "QueryTimeout" });
  }
  assert.equal(closed, 2);
  // What is granted later is given back.
  let grant;
  let asked;
  const waits = new Promise((resolve) => (asked = resolve));
  withGlobal(t, "localStorage", { getItem: () => null });
  const request = (name, _, use) => new Promise((resolve) => asked((grant = () => resolve(use({})))));
  let released;
  withGlobal(t, "navigator", { locks: { request: (...given) => (released = request(...given)) } });
  const abort = new AbortController();
  const left = createNode({ transport, state: "mine", signal: abort.signal });
  await waits;
  abort.abort();
  await assert.rejects(left, { name: "AbortError" });
  grant();
  await released;
});

test("a database that somebody wants to delete is closed, and opened anew", async (t) => {
  withGlobal(t, "navigator", {});
  const databases = [];
  withGlobal(t, "indexedDB", {
    open() {
      const transaction = { objectStore: () => ({ put: () => queueMicrotask(() => transaction.oncomplete()) }) };
      const result = { closed: 0, close: () => (result.closed += 1), transaction: () => transaction };
      databases.push(result);
      const request = { result };
      queueMicrotask(() => request.onsuccess());
      return request;
    },
  });
  const store = await browserStore("mine");
  databases[0].onversionchange();
  assert.equal(databases[0].closed, 1);
  await store.save(Uint8Array.of(1));
  store.close();
  assert.deepEqual(databases.map(({ closed }) => closed), [1, 1]);
});

test("a transport that fails to close keeps no state from being saved and left", async () => {
  const fails = [() => { throw new Error("it hangs on"); }, async () => { throw new Error("it hangs on"); }];
  for (const close of fails) {
    const transport = { open: async () => ({ addresses: ["127.0.0.1:4000"], mtu: 1232 }), send() {}, close };
    const said = [];
    const state = { load: async () => undefined, save: async () => void said.push("saved"), close: () => void said.push("left") };
    const abort = new AbortController();
    const node = await createNode({ transport, state, signal: abort.signal });
    node.addEventListener("warning", ({ detail }) => said.push(detail.message));
    const closed = once(node, "close");
    abort.abort();
    await closed;
    assert.deepEqual(said, ["saved", "it did not close: it hangs on", "saved", "left"]);
    // And where there is no node yet.
    said.length = 0;
    const damaged = { ...state, load: async () => new Uint8Array(20) };
    await assert.rejects(createNode({ transport, state: damaged }), { name: "InvalidState" });
    assert.deepEqual(said, ["left"]);
  }
});

test("addresses of both families are read and written as the core writes them", () => {
  for (const address of ["1.2.3.4:5", "[::1]:65535", "[2001:db8::1:0:0:1]:80", "[::]:1", "[1:2:3:4:5:6:7:8]:9", "[fd00::]:1", "[1:0:2:3:4:5:6:7]:1"]) {
    const header = headerOf(address);
    assert.equal(read(Uint8Array.of(...header, 0)).from, address);
  }
  for (const wrong of ["", "a:1", "1.2.3:4", "1.2.3.256:1", "1.2.3.4:0", "[::1::]:1", "[1:2]:3", "[g::]:1", "1.2.3.4:65536"]) {
    assert.equal(headerOf(wrong), undefined, wrong);
  }
  const header = headerOf("[::1]:1");
  for (const [length, valid] of [[65_535, true], [65_536, false]]) {
    assert.equal(read(Uint8Array.of(...header, ...new Uint8Array(length))) !== undefined, valid);
  }
});

test("a bootstrap address is found however it is written", async (t) => {
  const hosts = new Map();
  const opened = async (address) => {
    const transport = {
      open: async (host) => (hosts.set(address, host), { addresses: [address], mtu: 1232 }),
      send: (datagram, to) => setImmediate(() => hosts.get(to)?.receive(datagram, address)),
      close() {},
    };
    const node = await createNode({ transport });
    t.after(() => node.close());
    return node;
  };
  const address = "[fd00::a]:4000";
  const [, node] = [await opened(address), await opened("[fd00::b]:4000")];
  for (const given of ["[FD00::000a]:4000", "[fd00:0:0:0:0:0:0:A]:04000"]) {
    const attempts = await node.bootstrap([given], { timeout: 1000 });
    assert.deepEqual(attempts, [{ given, address, result: "answered" }]);
  }
});

test("a line that is gone in part is told as one, and what is left goes on", async (t) => {
  let host;
  const sent = [];
  const link = { addresses: ["127.0.0.1:4000"], mtu: 1232 };
  const node = await createNode({
    transport: { open: async (given) => ((host = given), link), send: (_, to) => sent.push(to), close() {} },
  });
  t.after(() => node.close());
  const told = [];
  for (const type of ["down", "up"]) node.addEventListener(type, ({ detail }) => told.push([type, detail.reason?.message]));
  const asks = async (address) => {
    const before = sent.length;
    await assert.rejects(node.bootstrap([address], { timeout: 1 }), { name: "BootstrapError" });
    return sent.length > before;
  };
  host.down(new Error("most of it"), true);
  assert.equal(await asks("127.0.0.1:4001"), true);
  host.down(new Error("all of it"));
  assert.equal(await asks("127.0.0.1:4002"), false);
  host.up(link);
  assert.equal(await asks("127.0.0.1:4003"), true);
  host.down(new Error("all of it"));
  assert.deepEqual(told, [["down", "most of it"], ["up", undefined], ["down", "all of it"]]);
});

test("timers that come late do no harm", async (t) => {
  const { node } = await faked(t);
  const real = globalThis.setTimeout;
  // As in a tab in the background: a second at the earliest.
  withGlobal(t, "setTimeout", (call, after, ...rest) => real(call, Math.max(after ?? 0, 1000), ...rest));
  const attempts = node.bootstrap(["127.0.0.1:4001"], { timeout: 100 });
  await assert.rejects(attempts, { name: "BootstrapError" });
  assert.equal(node.health().operations, 0);
});

test("time goes on while the machine sleeps, and neither back nor to another year", (t) => {
  let steady = 1000;
  let wall = 1_000_000;
  const timers = new Set();
  withGlobal(t, "performance", { now: () => steady });
  t.mock.method(Date, "now", () => wall);
  withGlobal(t, "setTimeout", (call, after) => {
    const timer = { call, at: steady + after };
    timers.add(timer);
    return timer;
  });
  withGlobal(t, "clearTimeout", (timer) => timers.delete(timer));
  const pass = (awake, asleep = 0) => {
    steady += awake;
    wall += awake + asleep;
    for (const timer of [...timers]) if (timer.at <= steady && timers.delete(timer)) timer.call();
  };
  const clock = systemClock();
  const DAY = 86_400_000;
  let rang = 0;
  const start = clock.now();
  clock.at(start + DAY, () => (rang += 1));
  clock.at(start + DAY, () => assert.fail("it was taken back"))();
  const passed = () => clock.now() - start;
  pass(10_000);
  assert.equal(passed(), 10_000);
  // The wall clock is corrected, set back, and slews.
  pass(0, 3000);
  pass(0, -DAY);
  for (let n = 0; n < 100; n++) {
    pass(0, 100);
    assert.equal(passed(), 10_000);
  }
  pass(0, 10 * 3_600_000);
  assert.equal(passed(), 10_000 + 10 * 3_600_000);
  assert.equal(rang, 0);
  pass(0, 14 * 3_600_000);
  // A timer that is on its way is late by half a minute of those awake at most.
  pass(30_000);
  assert.deepEqual([rang, timers.size], [1, 0]);
  const before = passed();
  pass(0, 365 * DAY);
  assert.equal(passed() - before, 2 * DAY);
  // As ever: no timer before its time, however far.
  clock.at(clock.now() + 100 * DAY, () => (rang += 1));
  for (let n = 0; n < 10; n++) pass(30_000);
  assert.equal(rang, 1);
});
