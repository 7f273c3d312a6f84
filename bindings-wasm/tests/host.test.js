// Nodes as people open them, behind a relay.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { BootstrapError, ClosedError, NoPeersError, RelayError, createNode } from "../dist/index.js";
import { relay } from "./program.js";

const HELLO = new TextEncoder().encode("hello");
const NOWHERE = "127.0.0.1:9";

async function nodes(t, count, options = {}) {
  const { relay: url, stop } = await relay(t);
  const all = [];
  for (let n = 0; n < count; n++) {
    const bootstrap = n ? [all[0].addr] : [];
    all.push(await createNode({ relay: url, bootstrap, ...options }));
  }
  t.after(() => Promise.all(all.map((node) => node.close())));
  // Who was asked has still to see that the asker answers as well.
  for (const node of all) {
    while (node.health().contacts.ipv4 < count - 1) await once(node, "table");
  }
  return { all, url, stop };
}

test("what one puts another one gets", async (t) => {
  const { all: [a, b, c] } = await nodes(t, 3);
  const put = await b.put(HELLO);
  assert.equal(put.stored, 2);
  assert.deepEqual(await c.get(put.key), HELLO);
  assert.equal(await a.get("0".repeat(40)), undefined);
});

test("providers come as they are heard of, with what it cost", async (t) => {
  const { all: [a, b] } = await nodes(t, 2);
  await a.announce("ab".repeat(20), { port: 8080 });
  const found = b.providers("ab".repeat(20));
  const addresses = [];
  for await (const { address } of found) addresses.push(address);
  assert.deepEqual(addresses, ["127.0.0.1:8080"]);
  assert.equal(found.totals.found, 1);
});

test("leaving a loop and aborting stop the work in the core", async (t) => {
  const { all: [a] } = await nodes(t, 2);
  for await (const step of a.lookup("0".repeat(40))) {
    assert.equal(step.type, "asked");
    break;
  }
  assert.equal(a.health().operations, 0);
  const abort = new AbortController();
  const asked = a.bootstrap([NOWHERE], { signal: abort.signal });
  assert.equal(a.health().operations, 1);
  abort.abort();
  await assert.rejects(asked, { name: "AbortError" });
  assert.equal(a.health().operations, 0);
});

test("what could not be asked is an error with a reason", async (t) => {
  const { all: [a], url } = await nodes(t, 1);
  await assert.rejects(a.get("0".repeat(40)), NoPeersError);
  await assert.rejects(createNode({ relay: url, bootstrap: [NOWHERE], timeout: 50 }), (error) => {
    assert.ok(error instanceof BootstrapError);
    assert.deepEqual(error.attempts, [{ given: NOWHERE, address: NOWHERE, result: "timeout" }]);
    return true;
  });
  await a.close();
  await assert.rejects(a.get("0".repeat(40)), ClosedError);
});

test("a relay that refuses says why", async (t) => {
  const { relay: url } = await relay(t, "--token", "secret");
  await assert.rejects(createNode({ relay: url }), (error) => error instanceof RelayError && error.code === 4401);
  await assert.rejects(createNode({ relay: `ws://${NOWHERE}` }), /the connection to the relay at 127.0.0.1:9 failed/);
  await assert.rejects(createNode({ relay: "ftp://x" }), /begins with ws:\/\/ or wss:\/\//);
  const node = await createNode({ relay: url, token: "secret" });
  await node.close();
});

test("a relay that stops and comes back is told by events, and the node goes on", async (t) => {
  const { all: [a], url, stop } = await nodes(t, 1);
  const down = once(a, "down");
  const up = once(a, "up");
  await stop();
  assert.ok((await down)[0].detail.reason instanceof RelayError);
  const { host } = new URL(url);
  await relay(t, "--listen", host);
  const [{ detail }] = await up;
  assert.deepEqual(a.addrs, detail.addresses);
  const b = await createNode({ relay: url, bootstrap: [a.addr] });
  await b.close();
});
