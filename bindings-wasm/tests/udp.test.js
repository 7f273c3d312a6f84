// Nodes on UDP, with the program's.
import assert from "node:assert/strict";
import { Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Server, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { InvalidState, UdpTransport, createNode, fileStore } from "../dist/node-js.js";
import { usualBinds } from "../dist/udp.js";
import { start } from "./program.js";

const HELLO = new TextEncoder().encode("hello");
/** A lock of this process. */
const OURS = new RegExp(`^${process.pid}( \\d+)?\n$`);

async function opened(t, options = {}) {
  const node = await createNode({ bind: "127.0.0.1:0", ...options });
  t.after(() => node.close());
  return node;
}

async function folder(t) {
  const path = await mkdtemp(join(tmpdir(), "kadlet-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test("a node joins the program's network, and fetches what it shares", async (t) => {
  const path = join(await folder(t), "Long Walk.txt");
  await writeFile(path, "left, right, left, right\n");
  const share = await start(t, "link", "share", path, "--json", "--listen", "127.0.0.1:0", "--no-lan");
  const node = await opened(t);
  const { mock } = t.mock.method(globalThis, "fetch");
  const { blob, name } = await node.fetch(share.link);
  assert.ok(mock.calls.length > 0 && mock.calls.every(({ arguments: [, { cache }] }) => cache === "no-store"));
  assert.equal(name, "Long Walk.txt");
  assert.equal(await blob.text(), "left, right, left, right\n");
});

test("the program fetches what a node shares", async (t) => {
  const node = await opened(t);
  const other = await opened(t, { bootstrap: [node.addr.replace("127.0.0.1", "localhost")] });
  const { link } = await other.share(new Blob(["hello"]), { name: "hello.txt" });
  const path = join(await folder(t), "copy");
  await start(t, "path", "get", link, "--json", "--no-lan", "-o", path);
  assert.equal(await readFile(path, "utf8"), "hello");
});

test("id, contacts and records survive a restart, and what is no state is left alone", async (t) => {
  const state = join(await folder(t), "state");
  const first = await opened(t);
  const node = await createNode({ bind: "127.0.0.1:0", bootstrap: [first.addr], state });
  const { id } = node;
  while (!first.health().contacts.ipv4) await once(first, "table");
  const { key } = await first.put(HELLO);
  await node.close();
  const again = await opened(t, { state });
  assert.equal(again.id, id);
  assert.deepEqual(await again.get(key), HELLO);
  assert.equal(again.storeStats().values, 1);
  await again.close();
  const another = { bind: "127.0.0.1:0", state, network: "another" };
  await assert.rejects(createNode(another), { name: "InvalidState", message: /another network/ });
  await writeFile(state, "something else");
  await assert.rejects(createNode({ bind: "127.0.0.1:0", state }), InvalidState);
  assert.equal(await readFile(state, "utf8"), "something else");
});

test("a state that cannot be kept is a warning, and the node goes on", async (t) => {
  const full = {
    load: async () => undefined,
    save: async () => {
      throw new Error("the quota is exceeded");
    },
  };
  const node = await opened(t, { state: full });
  while (!node.warnings.length) await new Promise(setImmediate);
  assert.deepEqual(node.warnings, [
    { kind: "storage", message: "the state cannot be saved: the quota is exceeded" },
  ]);
  const other = await opened(t, { bootstrap: [node.addr] });
  const { key } = await other.put(HELLO);
  assert.deepEqual(await other.get(key), HELLO);
});

test("one node at a time uses a state file, and a dead one's is taken over", async (t) => {
  const state = join(await folder(t), "state");
  const first = await opened(t, { state });
  const second = await opened(t, { state });
  assert.notEqual(second.id, first.id);
  assert.deepEqual(second.warnings.map(({ kind }) => kind), ["storage"]);
  assert.match(second.warnings[0].message, /another node of this process uses /);
  await second.close();
  await first.close();
  const lock = `${state}.lock`;
  await assert.rejects(readFile(lock), { code: "ENOENT" });
  // Our parent lives; nobody has so high a number; and that of an earlier life was ours.
  await writeFile(lock, `${process.ppid}\n`);
  const message = `process ${process.ppid} uses ${state}; if that is no node, remove ${lock}`;
  await assert.rejects(fileStore(state).load(), { message });
  await writeFile(lock, "");
  await assert.rejects(fileStore(state).load(), /another process uses /);
  for (const dead of [2 ** 30, process.pid]) {
    await writeFile(lock, `${dead}\n`);
    const again = await opened(t, { state });
    assert.equal(again.id, first.id);
    assert.match(await readFile(lock, "utf8"), OURS);
    await again.close();
  }
});

test("a number that is another program's by now keeps nobody out", { skip: process.platform !== "linux" }, async (t) => {
  const state = join(await folder(t), "state");
  const lock = `${state}.lock`;
  const stat = await readFile(`/proc/${process.ppid}/stat`, "utf8");
  const start = stat.replace(/^.*\) /s, "").split(" ")[19];
  await writeFile(lock, `${process.ppid} ${start}\n`);
  await assert.rejects(fileStore(state).load(), new RegExp(`process ${process.ppid} uses `));
  await writeFile(lock, `${process.ppid} ${Number(start) + 1}\n`);
  const store = fileStore(state);
  await store.load();
  assert.match(await readFile(lock, "utf8"), OURS);
  store.close();
});

test("a state that is left while it is taken is free again", async (t) => {
  const state = join(await folder(t), "state");
  const left = fileStore(state);
  const loading = left.load();
  left.close();
  await loading;
  await assert.rejects(readFile(`${state}.lock`), { code: "ENOENT" });
  const next = fileStore(state);
  await next.load();
  left.close();
  assert.match(await readFile(`${state}.lock`, "utf8"), OURS);
  next.close();
  await fileStore(state).load();
});

test("IPv6 is used where the machine has it, and its lack is no error", async (t) => {
  const v4 = { family: "IPv4", address: "192.168.1.2", internal: false };
  const v6 = { family: "IPv6", address: "2a00:1450::2", internal: false };
  const near = { ...v6, address: "fe80::1" };
  assert.deepEqual(usualBinds({ lo: [{ ...v6, address: "::1", internal: true }], eth: [v4, near] }).also, []);
  assert.deepEqual(usualBinds({ eth: [v4, v6] }), { binds: ["0.0.0.0:0"], also: ["[::]:0"] });
  // An address of nobody's: it cannot be bound.
  const transport = new UdpTransport(["127.0.0.1:0"], ["[2001:db8::1]:0"]);
  const node = await opened(t, { transport });
  assert.match(node.addr, /^127\.0\.0\.1:/);
  await assert.rejects(opened(t, { bind: ["127.0.0.1:0", "[2001:db8::1]:0"] }), /EADDRNOTAVAIL|EAFNOSUPPORT|EINVAL/);
});

test("two addresses of one family are refused, and none stays bound", async (t) => {
  const { mock } = t.mock.method(Socket.prototype, "bind");
  for (const bind of [["127.0.0.1:0", "127.0.0.2:0"], ["[::1]:0", "[::1]:0"]]) {
    const message = `${bind[1]}: a node has one address for each family`;
    await assert.rejects(opened(t, { bind }), { name: "TypeError", message });
    assert.throws(() => mock.calls.at(-1).this.address(), { code: "ERR_SOCKET_DGRAM_NOT_RUNNING" });
  }
  assert.equal(mock.calls.length, 2);
});

test("a datagram from an address with a zone is dropped", async (t) => {
  const { mock } = t.mock.method(Socket.prototype, "bind");
  const transport = new UdpTransport(["127.0.0.1:0"]);
  const came = [];
  await transport.open({ receive: (_, from) => came.push(from) }, new AbortController().signal);
  t.after(() => transport.close());
  const socket = mock.calls[0].this;
  for (const address of ["fe80::1%eth0", "2001:db8::1"]) socket.emit("message", Buffer.from(HELLO), { address, port: 7611 });
  assert.deepEqual(came, ["[2001:db8::1]:7611"]);
});

test("a client that does not read loses its place", async (t) => {
  const { mock } = t.mock.method(Server.prototype, "listen");
  const node = await opened(t);
  const { link } = await node.share(new Uint8Array(1 << 26), { listed: false });
  const server = mock.calls[0].this;
  assert.ok(server.timeout > 0);
  server.timeout = 50;
  const path = `/blake3/${/[0-9a-f]{64}/.exec(link)[0]}`;
  const served = once(server, "request");
  const asked = request({ host: "127.0.0.1", port: server.address().port, path }).end();
  t.after(() => asked.destroy());
  asked.on("response", () => {}).on("error", () => {});
  const [{ socket }] = await served;
  await once(socket, "close");
  assert.ok(socket.bytesWritten < 1 << 26);
});

test("who does not come to an end with its request loses its place", { timeout: 20_000 }, async (t) => {
  const { mock } = t.mock.method(Server.prototype, "listen");
  const node = await opened(t);
  await node.share(new Uint8Array(1), { listed: false });
  const server = mock.calls[0].this;
  assert.deepEqual([server.headersTimeout, server.requestTimeout], [10_000, 10_000]);
  server.headersTimeout = 1;
  const client = connect(server.address().port, "127.0.0.1", () => client.write("GET / HTTP/1.1\r\nA: "));
  t.after(() => client.destroy());
  await once(client.on("error", () => {}).resume(), "close");
});

test("one source has a quarter of the places, and this machine all of them", async (t) => {
  const { mock } = t.mock.method(Server.prototype, "listen");
  const node = await opened(t);
  await node.share(new Uint8Array(1), { listed: false });
  const server = mock.calls[0].this;
  let from;
  server.prependListener("connection", (socket) => Object.defineProperty(socket, "remoteAddress", { value: from }));
  const clients = [];
  t.after(() => clients.forEach((client) => client.destroy()));
  const enters = async (address) => {
    from = address;
    const client = connect(server.address().port, "127.0.0.1");
    clients.push(client);
    const [socket] = await once(server, "connection");
    return !socket.destroyed && socket;
  };
  const places = [];
  for (let n = 0; n < 64; n++) places.push(await enters(`8.8.8.${n}`));
  assert.ok(places.every(Boolean));
  assert.equal(await enters("8.8.8.64"), false);
  for (const other of ["8.8.9.8", "2a00:1450::1", "2a00:1450:1::1"]) assert.ok(await enters(other), other);
  places[7].destroy();
  await once(places[7], "close");
  assert.ok(await enters("8.8.8.64"));
  assert.equal(await enters("8.8.8.65"), false);
  for (let n = 0; n < 65; n++) assert.ok(await enters(["127.0.0.1", "192.168.1.2", "fe80::1%eth0"][n % 3]));
});

test("a large file leaves no listener for each time that its client was slower", async (t) => {
  const { mock } = t.mock.method(Server.prototype, "listen");
  const node = await opened(t);
  const { link } = await node.share(new Uint8Array(1 << 23), { listed: false });
  const server = mock.calls[0].this;
  const seen = [];
  server.on("request", (_, response) => {
    seen.push(response.listenerCount("close"));
    response.on("drain", () => seen.push(response.listenerCount("close")));
  });
  const url = `http://127.0.0.1:${server.address().port}/blake3/${/[0-9a-f]{64}/.exec(link)[0]}`;
  assert.equal((await (await fetch(url)).arrayBuffer()).byteLength, 1 << 23);
  assert.ok(seen.length > 10);
  assert.ok(Math.max(...seen) <= seen[0] + 1, `${seen}`);
});

test("a node that is closed while it begins to serve leaves no server behind", async (t) => {
  const { listen } = Server.prototype;
  for (const bind of ["127.0.0.1:0", ["127.0.0.1:0", "[::1]:0"]]) {
    const servers = [];
    t.after(() => servers.forEach((server) => server.close()));
    const node = await opened(t, { bind });
    let closing;
    t.mock.method(Server.prototype, "listen", function (...given) {
      servers.push(this);
      const listening = listen.apply(this, given);
      closing ??= node.close();
      return listening;
    });
    await assert.rejects(node.share(new Blob(["hello"])), { name: "ClosedError" });
    await closing;
    assert.deepEqual(servers.map(({ listening }) => listening), [false]);
  }
});
