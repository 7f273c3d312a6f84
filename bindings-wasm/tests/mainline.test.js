// Nodes of BitTorrent's network: on UDP, and behind a relay as pages have them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bencodeString, load, mainlineConfig, mainlineRouters, Node, sign } from "../dist/core.js";
import { createNode as inPage } from "../dist/index.js";
import { createNode as inline } from "../dist/inline.js";
import { Bencoded, createNode, DhtError, InvalidRecord, LoadError, ValueTooLarge } from "../dist/node-js.js";
import { relay } from "./program.js";

const network = "mainline";
const bytes = (text) => new TextEncoder().encode(text);
const HASH = "ab".repeat(20);

async function opened(t, options, create = createNode) {
  const node = await create(options);
  t.after(() => node.close());
  return node;
}

/** Two on UDP, and one behind a relay. */
async function three(t) {
  const first = await opened(t, { bind: "127.0.0.1:0", network });
  const second = await opened(t, { bind: "127.0.0.2:0", network, bootstrap: [first.addr] });
  const { relay: url } = await relay(t, "--udp", "127.0.0.3");
  const page = await opened(t, { relay: url, network, bootstrap: [second.addr] }, inPage);
  return { first, second, page };
}

const addresses = async (found) => {
  const all = [];
  for await (const { address } of found) all.push(address);
  return all;
};

test("a torrent is announced and found by its info-hash and by its link, behind a relay too", async (t) => {
  const { first, second, page } = await three(t);
  const magnet = `magnet:?dn=x&xt=urn:btih:${HASH.toUpperCase()}`;
  await page.announce(magnet);
  assert.deepEqual(await addresses(second.providers(HASH)), [page.addr]);
  await second.announce("cd".repeat(20), { port: 7000, transports: 128 });
  assert.deepEqual(await addresses(page.providers("cd".repeat(20))), ["127.0.0.2:7000"]);
  const { seeds, peers } = await page.scrape("cd".repeat(20));
  assert.deepEqual([seeds, peers], [1, 0]);
  const keys = new Set();
  for await (const sample of first.sample(HASH)) for (const key of sample.keys) keys.add(key);
  assert.ok(keys.has(HASH));
});

test("what is not said is as Mainline has it", async () => {
  await load();
  const settings = new Node({ network: null, table: { replacements: 2 } }, HASH, new Uint8Array(32), 0).config();
  const { table, ...rest } = mainlineConfig();
  assert.deepEqual(settings, { ...rest, table: { ...table, replacements: 2 } });
  assert.equal(table.k, 8);
});

test("values are bencode: strings are their bytes, anything else says so", async (t) => {
  const { first, page } = await three(t);
  const { key } = await page.put(bytes("hello"));
  assert.equal(key, "e28910ea0adb94dd45ced75fbff3e135c01bc437");
  assert.deepEqual(await first.get(key), bytes("hello"));
  const number = await first.put(new Bencoded(bytes("i7e")));
  assert.deepEqual(await page.get(number.key), new Bencoded(bytes("i7e")));
  await assert.rejects(page.put(new Bencoded(bytes("i07e"))), InvalidRecord);
  await page.put(new Uint8Array(996));
  await assert.rejects(page.put(new Uint8Array(997)), ValueTooLarge);
});

test("what the owner of a key has said last is found by a link, and the torrent in it", async (t) => {
  const { first, page } = await three(t);
  await load();
  const ih = Uint8Array.from([...bytes("d2:ih20:"), ...Buffer.from(HASH, "hex"), ...bytes("e")]);
  const item = sign(new Uint8Array(32).fill(7), bytes("s"), 1n, ih, true);
  await page.put(item);
  const hex = (it) => Buffer.from(it).toString("hex");
  const link = `magnet:?xs=urn:btpk:${hex(item.publicKey)}&s=${hex(bytes("s"))}`;
  assert.equal(await first.torrent(link), HASH);
  assert.deepEqual(await first.get(link), new Bencoded(ih));
  assert.equal(await first.torrent(link.replace("&s=73", "&s=74")), undefined);
  assert.throws(() => first.providers(link), InvalidRecord);
  const text = sign(new Uint8Array(32).fill(7), bytes("s"), 2n, bencodeString(bytes("two")), true);
  await first.put(text, { cas: 1n });
  assert.deepEqual(await page.get(link), bytes("two"));
  assert.equal((await page.getSigned(item.publicKey, { salt: bytes("s") })).seq, 2n);
});

test("links that name nothing, other networks, and an entry without Mainline are refused in words", async (t) => {
  const { first } = await three(t);
  assert.throws(() => first.providers("magnet:?xt=urn:btih:zz"), /40 hexadecimal digits/);
  const native = await opened(t, { bind: "127.0.0.5:0" });
  assert.throws(() => native.providers(`magnet:?xt=urn:btih:${HASH}`), /network: "mainline"/);
  await assert.rejects(native.scrape(HASH), DhtError);
  const { relay: url } = await relay(t);
  let held = 0;
  const state = { load: async () => void (held += 1), save: async () => {}, close: () => (held -= 1) };
  await assert.rejects(inline({ relay: url, network, state }), LoadError);
  assert.equal(held, 0);
  await load();
  assert.ok(mainlineRouters().every((router) => /^[a-z.]+:\d+$/.test(router)));
});
