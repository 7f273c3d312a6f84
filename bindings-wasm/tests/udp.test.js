// Nodes on UDP, with the program's.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { InvalidState, createNode } from "../dist/node-js.js";
import { start } from "./program.js";

const HELLO = new TextEncoder().encode("hello");

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
  const { blob, name } = await node.fetch(share.link);
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
