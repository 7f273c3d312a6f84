// What both ends of a data channel tell each other, and who comes to one, as docs/webrtc.json has it; the
// native program is tested with the same. And what becomes of datagrams, with connections of our own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Pieces, parse } from "../dist/pieces.js";
import { decode, encode, permitted } from "../dist/sdp.js";
import { DATA_CHANNEL, WebRtcTransport } from "../dist/webrtc.js";

const { signals, messages, attempts } = JSON.parse(readFileSync(new URL("../../docs/webrtc.json", import.meta.url), "utf8"));
const hex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const hidden = ({ host }) => host.endsWith(".local");
const address = ({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);

test("signals are read as the vectors say", () => {
  for (const { why, payload, valid, from, permitted: wanted } of signals) {
    const read = decode(new TextEncoder().encode(payload));
    assert.equal(read !== undefined, valid, why);
    if (read === undefined) continue;
    assert.equal(new TextDecoder().decode(encode(read)), payload, why);
    // A hidden name is nothing to whoever has no multicast.
    assert.deepEqual(permitted(read.candidates, from).filter((one) => !hidden(one)).map(address), wanted, why);
  }
});

test("messages are read as the vectors say", () => {
  for (const { why, message, valid, data, ...wanted } of messages) {
    const read = parse(hex(message));
    assert.equal(read !== undefined, valid, why);
    if (read === undefined) continue;
    assert.deepEqual(read, data === undefined ? wanted : { ...wanted, data: hex(data) }, why);
  }
});

/** Time that goes on when it is told to. */
function standingTime(t) {
  const { setTimeout, clearTimeout } = globalThis;
  const timers = new Map();
  let now = 0;
  performance.now = () => now;
  globalThis.setTimeout = (work, after) => {
    const timer = {};
    timers.set(timer, { at: now + after, work });
    return timer;
  };
  globalThis.clearTimeout = (timer) => timers.delete(timer);
  t.after(() => {
    delete performance.now;
    Object.assign(globalThis, { setTimeout, clearTimeout });
  });
  return {
    async until(then) {
      for (;;) {
        await settled();
        const due = [...timers].filter(([, { at }]) => at <= then).sort(([, a], [, b]) => a.at - b.at)[0];
        if (due === undefined) break;
        const [timer, { at, work }] = due;
        timers.delete(timer);
        now = at;
        work();
      }
      now = then;
    },
  };
}

/** Everything that was promised has come about. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const sdp = (type) =>
  [
    "v=0",
    "a=ice-ufrag:abcd",
    `a=ice-pwd:${"p".repeat(22)}`,
    `a=fingerprint:sha-256 ${Array(32).fill("0A").join(":")}`,
    `a=setup:${type === "offer" ? "actpass" : "active"}`,
    "a=candidate:1 1 udp 1 127.0.0.1 5000 typ host",
  ].join("\r\n");

/** A browser's connection that reaches nobody, and takes no description out of its turn. */
class Connection {
  static all = [];
  iceGatheringState = "complete";
  signalingState = "stable";
  channels = [];

  constructor() {
    Connection.all.push(this);
  }

  createDataChannel() {
    const channel = Object.assign(new EventTarget(), { readyState: "connecting", bufferedAmount: 0, sent: [] });
    channel.send = (bytes) => channel.sent.push(bytes);
    this.channels.push(channel);
    return channel;
  }

  createOffer = async () => ({ type: "offer" });
  createAnswer = async () => ({ type: "answer" });

  async setLocalDescription({ type }) {
    this.localDescription = { sdp: sdp(type) };
    this.signalingState = type === "offer" ? "have-local-offer" : "stable";
  }

  async setRemoteDescription({ type }) {
    // As the browser has it: one after the other.
    await undefined;
    if (type === "answer" && this.signalingState !== "have-local-offer") throw new DOMException("", "InvalidStateError");
    this.signalingState = type === "offer" ? "have-remote-offer" : "stable";
  }

  closed = 0;

  close() {
    this.closed += 1;
  }
}

const idOf = (peer) => peer.toString(16).padStart(2, "0").repeat(20);
const addressOf = (peer) => `127.0.0.${peer}:4000`;
const text = new TextDecoder();

/** A transport whose node and relay note what is sent; what is signalled waits for the test's word. */
async function scene(t, own, options) {
  const time = standingTime(t);
  globalThis.RTCPeerConnection = Connection;
  Connection.all = [];
  const relayed = [];
  const failed = [];
  let line;
  const relay = {
    open: async (host) => ((line = host), { addresses: [addressOf(own)], mtu: 1232 }),
    attach: () => {},
    send: (_, to) => relayed.push(to),
    close() {},
  };
  const said = [];
  const contacts = [];
  const node = Object.assign(new EventTarget(), {
    id: idOf(own),
    buckets: () => [{ contacts }],
    signal: (to, payload, { at }) => new Promise((resolve, reject) => said.push({ to, at, lines: text.decode(payload), reject })),
  });
  const transport = new WebRtcTransport(relay, options);
  const host = { receive() {}, failed: (to) => failed.push(to), down() {}, up() {} };
  await transport.open(host, new AbortController().signal);
  transport.attach(node);
  t.after(() => {
    transport.close();
    delete globalThis.RTCPeerConnection;
  });
  const signal = (peer, type, session, remote = addressOf(peer)) => {
    const setup = type === "offer" ? "actpass" : "active";
    const lines = `kadlet-rtc.2 ${type} ${session}\nice abcd ${"p".repeat(22)}\nfingerprint ${"0".repeat(64)}\nsetup ${setup}\nhost 127.0.0.1 5000 1`;
    const detail = { from: { id: idOf(peer), path: { remote } }, payload: new TextEncoder().encode(lines) };
    node.dispatchEvent(new CustomEvent("signal", { detail }));
  };
  /** The session of what we said last to a peer. */
  const last = (peer, type) => said.findLast(({ to, lines }) => to === idOf(peer) && lines.startsWith(`kadlet-rtc.2 ${type}`));
  const dial = (peer) => {
    transport.heard(idOf(peer), addressOf(peer));
    void transport.connect(addressOf(peer));
  };
  const table = (peers) => {
    contacts.splice(0, Infinity, ...peers.map((peer) => ({ contact: { id: idOf(peer), path: { remote: addressOf(peer) }, capabilities: DATA_CHANNEL } })));
    node.dispatchEvent(new Event("table"));
  };
  /** The channels of the last connection are there. */
  const connect = () => {
    const [channel, pieces] = Connection.all.at(-1).channels;
    for (const one of [pieces, channel]) {
      one.readyState = "open";
      one.onopen();
    }
    return [channel, pieces];
  };
  /** And the peer shows what we told it. */
  const open = () => {
    const [channel, pieces] = connect();
    show(pieces, "p".repeat(22));
    return channel;
  };
  return { time, transport, host, relayed, failed, said, signal, last, dial, table, connect, open, line: () => line };
}

/** What the peer shows. */
const show = (pieces, proof) => {
  const data = Uint8Array.of(6, 0, 0, 0, 0, ...new TextEncoder().encode(proof)).buffer;
  pieces.dispatchEvent(new MessageEvent("message", { data }));
};

const sessionOf = ({ lines }) => lines.split(/[ \n]/)[2];

for (const { why, own, steps } of attempts) {
  test(`attempts are made and taken as the vectors say: ${why}`, async (t) => {
    const { time, transport, signal, last, dial } = await scene(t, own);
    const { counters } = transport;
    const theirs = new Map();
    for (const [n, { at, do: what, peer, taken, to, what: lost }] of steps.entries()) {
      await time.until(at);
      const before = { ...counters };
      if (what === "dial") dial(peer);
      if (what === "lost") last(peer, lost).reject(new Error("nobody knows the way"));
      if (what === "offer") {
        theirs.set(peer, n.toString(16).padStart(16, "0"));
        signal(peer, "offer", theirs.get(peer));
      }
      if (what === "answer") {
        const sessions = { ours: () => sessionOf(last(peer, "offer")), theirs: () => theirs.get(peer), nothing: () => "f".repeat(16) };
        signal(peer, "answer", sessions[to]());
      }
      await settled();
      const grown = (name) => counters[name] - before[name];
      const [yes, no] = { dial: ["offered"], offer: ["accepted", "refused"], answer: [undefined, "refused"], lost: ["failed"] }[what];
      if (yes) assert.equal(grown(yes), taken ? 1 : 0, `step ${n}: ${yes}`);
      if (no) assert.equal(grown(no), taken ? 0 : 1, `step ${n}: ${no}`);
      if (what !== "lost") assert.equal(grown("failed"), 0, `step ${n}: nothing else ends`);
    }
  });
}

test("a peer of the table that failed is dialled again after its pause", async (t) => {
  const { time, transport, table, last, line } = await scene(t, 5);
  const { counters } = transport;
  const tried = async (at) => {
    await time.until(at);
    table([9]);
    await settled();
    return counters.offered;
  };
  assert.equal(await tried(0), 1);
  last(9, "offer").reject(new Error("nobody knows the way"));
  assert.equal(await tried(29_999), 1);
  assert.equal(counters.failed, 1);
  assert.equal(await tried(30_000), 2);
  last(9, "offer").reject(new Error("nobody knows the way"));
  await settled();
  // A relay that is there again may know a way.
  line().up({ addresses: [addressOf(5)], mtu: 1232 });
  await settled();
  assert.equal(counters.offered, 3);
});

test("datagrams take the channel while there is one, and the relay when it breaks", async (t) => {
  const { transport, signal, last, dial, open, relayed } = await scene(t, 5);
  const send = () => transport.send(new Uint8Array(3), addressOf(9));
  dial(9);
  await settled();
  send();
  assert.deepEqual(relayed, [addressOf(9)]);
  signal(9, "answer", sessionOf(last(9, "offer")));
  const channel = open();
  // The peer has it, whatever became of the word for that.
  last(9, "offer").reject(new Error("no answer"));
  await settled();
  send();
  assert.deepEqual([relayed.length, channel.sent.length, transport.counters.direct], [1, 1, 1]);
  channel.readyState = "closed";
  channel.onclose();
  send();
  assert.deepEqual([relayed.length, channel.sent.length, transport.counters.failed], [2, 1, 0]);
});

test("a channel takes an address once its end has shown that it receives there", async (t) => {
  const { transport, host, signal, said, connect, relayed } = await scene(t, 5);
  const { counters } = transport;
  const received = [];
  host.receive = (bytes, from) => received.push([bytes.length, from]);
  signal(9, "offer", "1".repeat(16));
  await settled();
  // What we say goes to the address that the offer names, and to nobody who could hand it on.
  assert.deepEqual(said.map(({ to, at }) => [to, at]), [[idOf(9), addressOf(9)]]);
  const [channel, pieces] = connect();
  // The peer gets its own proof at once.
  assert.deepEqual(pieces.sent.map((bytes) => [bytes[0], text.decode(bytes.subarray(5))]), [[6, "p".repeat(22)]]);
  const datagram = () => channel.onmessage({ data: new ArrayBuffer(7) });
  const send = () => transport.send(new Uint8Array(3), addressOf(9));
  const ask = new TextEncoder().encode("/blake3/");
  const asked = [];
  await transport.serve({ answer: (path) => void asked.push(path) });
  pieces.dispatchEvent(new MessageEvent("message", { data: Uint8Array.of(1, 0, 0, 0, 1, ...ask).buffer }));
  datagram();
  send();
  assert.deepEqual([received, channel.sent, relayed, asked], [[], [], [addressOf(9)], []]);
  assert.deepEqual([transport.channels, counters.opened], [0, 0]);
  show(pieces, "p".repeat(22));
  datagram();
  send();
  assert.deepEqual([received, channel.sent.length, relayed.length], [[[7, addressOf(9)]], 1, 1]);
  assert.deepEqual([transport.channels, counters.opened], [1, 1]);
});

test("a channel whose end shows something else is closed", async (t) => {
  const { transport, signal, connect } = await scene(t, 5);
  for (const [n, proof] of ["", "p".repeat(21), "q".repeat(22)].entries()) {
    signal(9 + n, "offer", String(n).repeat(16));
    await settled();
    const [, pieces] = connect();
    show(pieces, proof);
    assert.deepEqual([transport.channels, transport.counters.failed, Connection.all.at(-1).closed], [0, n + 1, 1], proof);
  }
});

test("without a relay others hand signals on, and what came of that ends with a relay", async (t) => {
  const { transport, signal, said, last, dial, open, line, host } = await scene(t, 5);
  signal(9, "offer", "1".repeat(16));
  await settled();
  open();
  line().down(new Error("the relay is gone"));
  dial(8);
  await settled();
  assert.deepEqual(said.map(({ at }) => at), [addressOf(9), undefined]);
  signal(8, "answer", sessionOf(last(8, "offer")));
  await settled();
  open();
  assert.equal(transport.channels, 2);
  line().up({ addresses: [addressOf(5)], mtu: 1232 });
  assert.equal(transport.channels, 1);
  transport.send(new Uint8Array(3), addressOf(9));
  assert.equal(transport.counters.direct, 1);
});

test("a relay that is gone is told at once, and the line is taken down with the last channel", async (t) => {
  const { signal, open, line, host } = await scene(t, 5);
  const told = [];
  host.down = ({ message }, partly) => told.push([message, partly]);
  host.up = ({ addresses }) => told.push(addresses);
  signal(9, "offer", "1".repeat(16));
  await settled();
  const channel = open();
  const again = { addresses: [addressOf(5)], mtu: 1232 };
  line().down(new Error("gone"));
  line().up(again);
  line().down(new Error("gone again"));
  assert.deepEqual(told, [["gone", true], again.addresses, ["gone again", true]]);
  channel.onclose();
  assert.deepEqual(told.at(-1), ["gone again", undefined]);
  line().up(again);
  line().down(new Error("gone for good"));
  assert.deepEqual(told.slice(4), [again.addresses, ["gone for good", false]]);
});

test("channels of an address that is gone end before the core hears of the next one", async (t) => {
  const { transport, host, signal, said, relayed, table, open, line } = await scene(t, 5);
  signal(9, "offer", "1".repeat(16));
  await settled();
  const channel = open();
  table([9]);
  line().down(new Error("the relay is gone"));
  // As the core does: it announces anew what it announced.
  host.up = () => transport.send(new Uint8Array(3), addressOf(9));
  line().up({ addresses: [addressOf(6)], mtu: 1232 });
  assert.deepEqual([channel.sent, relayed, transport.channels], [[], [addressOf(9)], 0]);
  await settled();
  const { at, lines } = said.at(-1);
  assert.deepEqual([at, lines.split(" ")[1], transport.counters.offered], [addressOf(9), "offer", 1]);
});

test("who waits for one address does not wait for an offer of the same id from another", async (t) => {
  const { time, transport, signal, dial } = await scene(t, 10);
  dial(9);
  await settled();
  let over = false;
  const connected = transport.connect(addressOf(9)).finally(() => (over = true));
  await settled();
  // That one may be what is waited for.
  signal(9, "offer", "1".repeat(16));
  await settled();
  assert.deepEqual([over, transport.counters.failed], [false, 0]);
  await time.until(2000);
  signal(9, "offer", "2".repeat(16), addressOf(11));
  await settled();
  assert.ok(over);
  assert.equal(await connected, false);
  assert.deepEqual([transport.counters.failed, transport.counters.accepted], [1, 2]);
});

test("a connection that the browser does not make is an attempt that failed, and is said once", async (t) => {
  const { transport, host, signal, dial, said } = await scene(t, 10);
  const warnings = [];
  host.warn = (warning) => warnings.push(warning);
  dial(9);
  await settled();
  const connected = transport.connect(addressOf(9));
  await settled();
  // As for a TURN server without credentials, or with too many connections.
  globalThis.RTCPeerConnection = class {
    constructor() {
      throw new DOMException("no credentials", "InvalidAccessError");
    }
  };
  signal(9, "offer", "1".repeat(16));
  assert.equal(await connected, false);
  transport.heard(idOf(8), addressOf(8));
  assert.equal(await transport.connect(addressOf(8)), false);
  const { offered, accepted, failed } = transport.counters;
  assert.deepEqual([offered, accepted, failed, said.length], [1, 0, 2, 1]);
  assert.deepEqual(warnings, [{ kind: "transport", message: "no channel can be made: InvalidAccessError: no credentials" }]);
});

test("without WebRTC nothing can be served", async () => {
  const served = new WebRtcTransport({}).serve({ answer() {} });
  await assert.rejects(served, { name: "DhtError", message: "nobody could fetch it: this browser has no WebRTC" });
});

test("a head whose status has no body is none, and an end before the head breaks the rules", async () => {
  for (const status of [204, 205, 304]) assert.equal(parse(Uint8Array.of(2, 0, 0, 0, 7, status >> 8, status & 255)), undefined);
  const channel = Object.assign(new EventTarget(), { readyState: "open", send() {} });
  let broken = 0;
  const pieces = new Pieces(channel, () => undefined, () => {
    broken += 1;
    pieces.close();
  });
  const asked = pieces.request({ path: "/" }, new AbortController().signal);
  channel.dispatchEvent(new MessageEvent("message", { data: Uint8Array.of(4, 0, 0, 0, 1).buffer }));
  await assert.rejects(asked, /the channel is closed/);
  assert.equal(broken, 1);
});

/** Our end of a channel whose other end takes what the test says; `looks` are those for whether it takes anything. */
function answering(t, shelf) {
  const looks = new Set();
  const { setInterval, clearInterval } = globalThis;
  globalThis.setInterval = (look) => (looks.add(look), look);
  globalThis.clearInterval = (look) => looks.delete(look);
  t.after(() => Object.assign(globalThis, { setInterval, clearInterval }));
  const channel = Object.assign(new EventTarget(), { readyState: "open", bufferedAmount: 0, sent: 0 });
  channel.send = ({ length }) => {
    channel.sent += 1;
    channel.bufferedAmount += length;
  };
  const seen = { channel, broken: 0, looks, ask(number) {
    const path = new TextEncoder().encode("/blake3/");
    const { buffer } = Uint8Array.of(1, 0, number >> 16, number >> 8, number, ...path);
    channel.dispatchEvent(new MessageEvent("message", { data: buffer }));
  } };
  const pieces = new Pieces(channel, () => shelf, () => {
    seen.broken += 1;
    channel.readyState = "closed";
    pieces.close();
  });
  return seen;
}

test("who asks on and takes no answers is cut off, with or without a file", async (t) => {
  const never = { answer: () => ({ size: 1, read: () => new Promise(() => {}) }) };
  for (const shelf of [undefined, never]) {
    const { channel, ask, ...seen } = answering(t, shelf);
    for (let number = 0; channel.readyState === "open" && number < 200_000; number++) ask(number);
    await settled();
    assert.ok(channel.bufferedAmount < 1.1 * 2 ** 20, `${channel.bufferedAmount} bytes wait`);
    assert.equal(seen.looks.size, 0);
  }
});

test("a channel that takes nothing any more ends, and no promise is left to itself", async (t) => {
  const shelf = { answer: () => ({ size: 1, read: async () => new Uint8Array(1) }) };
  for (const nth of [0, 1, 2, 3]) {
    // Of a refusal, and of an answer: its head, its bytes, its end.
    const seen = answering(t, nth < 1 ? undefined : shelf);
    const { send } = seen.channel;
    seen.channel.send = (bytes) => {
      if (seen.channel.sent === Math.max(0, nth - 1)) throw new DOMException("full", "OperationError");
      send(bytes);
    };
    seen.ask(1);
    await settled();
    assert.equal(seen.broken, 1, `message ${nth}`);
  }
});

test("who takes a little goes on, who takes nothing or cancels leaves its place", async (t) => {
  const seen = answering(t, { answer: () => ({ size: 2 ** 20, read: async (start, end) => new Uint8Array(end - start) }) });
  const { channel, looks, ask } = seen;
  const look = () => [...looks].forEach((one) => one());
  ask(1);
  ask(2);
  await settled();
  assert.equal(looks.size, 2);
  for (let n = 0; n < 3; n++) {
    channel.bufferedAmount -= 1;
    look();
  }
  channel.dispatchEvent(new MessageEvent("message", { data: Uint8Array.of(5, 0, 0, 0, 2).buffer }));
  assert.deepEqual([looks.size, seen.broken], [1, 0]);
  channel.bufferedAmount = 0;
  channel.dispatchEvent(new Event("bufferedamountlow"));
  await settled();
  assert.equal(looks.size, 1);
  look();
  await settled();
  assert.deepEqual([looks.size, seen.broken, channel.readyState], [0, 1, "closed"]);
});

test("a request that was left dials nobody, and is not sent", async (t) => {
  const { transport, signal, last, dial, open } = await scene(t, 5);
  const request = { provider: addressOf(9), path: "/" };
  const left = new AbortController();
  transport.relay.request = async (_, { reason }) => Promise.reject(reason);
  transport.heard(idOf(9), addressOf(9));
  let ended;
  const end = (why) => (ended = why.name);
  left.abort();
  transport.request(request, left.signal).catch(end);
  await settled();
  assert.deepEqual([ended, transport.counters.offered], ["AbortError", 0]);
  dial(9);
  await settled();
  signal(9, "answer", sessionOf(last(9, "offer")));
  open();
  const [, pieces] = Connection.all[0].channels;
  const before = pieces.sent.length;
  await assert.rejects(transport.request(request, left.signal), { name: "AbortError" });
  assert.equal(pieces.sent.length, before);
});

test("who waits for a channel hears of the transport's end", async (t) => {
  const { transport, dial } = await scene(t, 5);
  dial(9);
  await settled();
  const connected = transport.connect(addressOf(9));
  await settled();
  transport.close();
  assert.equal(await connected, false);
});

/** Makes offers from addresses, and says which were taken; with `open` each comes to a channel. */
function strangers({ transport, signal, open }) {
  const { counters } = transport;
  let id = 1;
  return async (addresses, { opened = true } = {}) => {
    const taken = [];
    for (const address of addresses) {
      const before = counters.accepted;
      signal(id, "offer", (id++).toString(16).padStart(16, "0"), address);
      await settled();
      taken.push(counters.accepted > before);
      if (taken.at(-1) && opened) open();
    }
    return taken;
  };
}

const hosts = (prefix, count) => Array.from({ length: count }, (_, n) => `${prefix}.${n + 1}:4000`);

test("strangers have half of the attempts, and those of one prefix two", async (t) => {
  const scenery = await scene(t, 0xee);
  const { transport, dial } = scenery;
  const offer = strangers(scenery);
  const opened = false;
  assert.deepEqual(await offer(hosts("6.6.6", 3), { opened }), [true, true, false]);
  const others = ["[2a00:1450::1]:4000", "7.7.7.7:4000", "8.8.8.8:4000"];
  assert.deepEqual(await offer(others, { opened }), [true, true, false]);
  for (let peer = 100; peer < 105; peer++) dial(peer);
  await settled();
  assert.equal(transport.counters.offered, 4);
});

test("one prefix has four channels, this machine and this house all, and a relay's clients half", async (t) => {
  const scenery = await scene(t, 0xee);
  const { transport, line } = scenery;
  const offer = strangers(scenery);
  const four = [true, true, true, true, false];
  assert.deepEqual(await offer(hosts("6.6.6", 5)), four);
  assert.deepEqual(await offer([1, 2, 3, 4, 5].map((n) => `[2a00:1450:0:${n}::1]:4000`)), four);
  assert.deepEqual(await offer(["[2a00:1450:1::1]:4000", "6.6.7.1:4000"]), [true, true]);
  for (const prefix of ["127.0.0", "192.168.1"]) assert.deepEqual(await offer(hosts(prefix, 6)), Array(6).fill(true));
  transport.options.maxChannels = 60;
  line().up({ addresses: ["9.9.9.9:4000"], mtu: 1232 });
  const many = await offer(Array.from({ length: 31 }, (_, n) => `9.9.9.9:${5000 + n}`));
  assert.deepEqual([many.filter(Boolean).length, many.at(-1)], [30, false]);
});

test("where no channel is left, an idle one of the heaviest prefix gives way once a newcomer has shown itself", async (t) => {
  const scenery = await scene(t, 0xee, { maxChannels: 7 });
  const { time, transport, open } = scenery;
  const offer = strangers(scenery);
  const [first, second, ...rest] = hosts("6.6.6", 4);
  const all = [first, second, ...rest, ...hosts("7.7.7", 3)];
  await offer(all);
  const connections = [...Connection.all];
  await time.until(10_000);
  // All have been of use since, but one.
  for (const address of all) if (address !== second) transport.send(new Uint8Array(3), address);
  const closed = () => all.filter((_, n) => connections[n].closed);
  assert.deepEqual(await offer(["8.8.8.8:4000"], { opened: false }), [true]);
  assert.deepEqual([closed(), transport.channels], [[], 7]);
  open();
  assert.deepEqual([closed(), transport.channels], [[second], 7]);
  // Three and three are left: it would gain nothing.
  assert.deepEqual(await offer(["7.7.7.9:4000", "6.6.6.9:4000"]), [false, false]);
  // Files are on their way from all of them: none is idle by the time that the next one has shown itself.
  assert.deepEqual(await offer(["9.9.9.9:4000"], { opened: false }), [true]);
  const requests = all.filter((address) => address !== second).map((provider) =>
    transport.request({ provider, path: "/" }, new AbortController().signal).catch(({ message }) => message));
  await settled();
  open();
  assert.deepEqual([closed(), transport.channels, transport.counters.failed], [[second], 7, 1]);
  transport.close();
  assert.deepEqual(new Set(await Promise.all(requests)), new Set(["the channel is closed"]));
});

test("an open channel stays until another one of the peer's is open", async (t) => {
  const { time, transport, signal, last, table, open, relayed } = await scene(t, 5, { maxChannels: 1 });
  const { counters } = transport;
  const send = (peer = 9) => transport.send(new Uint8Array(3), addressOf(peer));
  const offered = async (at, n, from) => {
    await time.until(at);
    signal(9, "offer", String(n).repeat(16), from);
    await settled();
  };
  await offered(0, 1);
  const first = open();
  // One that comes to nothing, one that another one replaces, and that one.
  await offered(2000, 2);
  send();
  assert.equal(first.sent.length, 1);
  last(9, "answer").reject(new Error("nobody knows the way"));
  await settled();
  table([9]);
  await offered(4000, 3);
  await offered(6000, 4);
  send();
  assert.equal(first.sent.length, 2);
  assert.deepEqual([counters.accepted, counters.failed, counters.offered, transport.channels], [4, 1, 0, 1]);
  const second = open();
  send();
  assert.deepEqual([first.sent.length, second.sent.length, relayed.length, transport.channels], [2, 1, 0, 1]);
  // The same id at another address: who is at the first keeps its channel, for ids are free.
  transport.options.maxChannels = 2;
  await offered(8000, 5, addressOf(10));
  const third = open();
  send(10);
  send();
  assert.deepEqual([second.sent.length, third.sent.length, relayed.length, transport.channels], [2, 1, 0, 2]);
  third.onclose();
  send();
  assert.deepEqual([second.sent.length, relayed.length, transport.channels], [3, 0, 1]);
  await offered(10_000, 6);
  transport.close();
  assert.deepEqual(Connection.all.map(({ closed }) => closed), [1, 1, 1, 1, 1, 1]);
});
