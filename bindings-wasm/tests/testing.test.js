// The network in memory: deterministic, in virtual time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRecord, NoAnswerError, NoProvidersError, QueryTimeout } from "../dist/index.js";
import { network } from "../dist/testing.js";
import { HashListBuilder, contentKeyOf } from "./kadlet.js";

const HELLO = new TextEncoder().encode("hello");
const DAY = 86_400_000;

test("a value outlives half of the nodes, for a day", async () => {
  const net = await network(30, { seed: 1, loss: 0.05 });
  const put = await net.nodes[0].put(HELLO, { renew: true });
  for (const node of net.nodes.slice(1, 15)) await node.close();
  await net.sleep(DAY);
  assert.deepEqual(await net.nodes[29].get(put.key), HELLO);
  await net.close();
});

test("the same seed and the same calls give the same run", async () => {
  const run = async (seed) => {
    const net = await network(12, { seed, loss: 0.1 });
    const put = await net.nodes[0].put(HELLO);
    await net.nodes[11].get(put.key);
    const seen = [net.now, put.stored, ...net.nodes.map((node) => node.stats())];
    await net.close();
    return JSON.stringify(seen);
  };
  assert.equal(await run(7), await run(7));
  assert.notEqual(await run(7), await run(8));
});

test("time stands still while nobody waits, and a timeout is in that time", async () => {
  const net = await network(3, { seed: 2 });
  const before = net.now;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(net.now, before);
  await net.nodes[1].close();
  await net.nodes[2].close();
  await assert.rejects(net.nodes[0].findNode("0".repeat(40), { timeout: 100 }), QueryTimeout);
  assert.equal(Math.round(net.now), Math.round(before + 100));
  await net.close();
});

test("a file is shared, found by words and fetched from two, one of whom lies", async () => {
  const net = await network(8, { seed: 3 });
  const file = new Uint8Array(3 * (1 << 20) + 5);
  for (let at = 0; at < file.length; at++) file[at] = at % 251;
  const [a, b, c] = net.nodes;
  const share = await a.share(file, { name: "A Long Walk.bin" });
  assert.ok(share.stored > 0);
  const hits = [];
  for await (const { entry } of c.search("long walk")) hits.push(entry.name);
  assert.deepEqual(hits, ["A Long Walk.bin"]);
  const told = [];
  const fetched = await c.fetch(share.link, { progress: ({ done }) => told.push(done) });
  assert.deepEqual(new Uint8Array(await fetched.blob.arrayBuffer()), file);
  assert.deepEqual(fetched.providers, { [a.addr]: 4 });
  assert.equal(told.at(-1), file.length);
  assert.equal(fetched.name, "A Long Walk.bin");

  // It says that it has the file, and serves another one under its name.
  const liar = await b.share(file, { listed: false });
  file[2_000_000] ^= 1;
  a.withdraw(share);
  await assert.rejects(c.fetch(share.link), (error) => {
    assert.ok(error instanceof NoProvidersError);
    assert.equal(error.rejected[b.addr].isLie, true);
    assert.equal(error.rejected[a.addr].kind, "not_found");
    return true;
  });
  b.withdraw(liar);
  await net.close();
});

test("of two providers one lies, and nothing of what it gave is written", async () => {
  const net = await network(8, { seed: 5 });
  const file = new Uint8Array(8 << 20).map((_, at) => at >> 12);
  const lies = file.slice();
  const [a, b, c] = net.nodes;
  const { link } = await a.share(file, { listed: false });
  await b.share(lies, { listed: false });
  // Only now: it has hashed what it should serve.
  for (let at = 0; at < lies.length; at += 4096) lies[at] ^= 1;
  const got = new Uint8Array(file.length);
  const write = (start, bytes) => {
    assert.deepEqual(bytes, file.subarray(start, start + bytes.length));
    got.set(bytes, start);
  };
  const { rejected, providers, blob } = await c.fetch(link, { write });
  assert.deepEqual([blob, providers[a.addr]], [undefined, 8]);
  assert.equal(rejected[b.addr].kind, "wrong_piece");
  assert.deepEqual(got, file);
  await net.close();
});

test("what is shared in an empty file comes as one", async () => {
  const net = await network(3, { seed: 4 });
  const { link } = await net.nodes[0].share(new Blob([]), { name: "nothing" });
  const { blob, size } = await net.nodes[2].fetch(link);
  assert.deepEqual([blob.size, size], [0, 0]);
  await net.close();
});

test("who could not serve may once it can", async () => {
  const net = await network(3, { seed: 8 });
  const [a, b] = net.nodes;
  const transport = net.at(a.addr);
  transport.serve = async () => {
    delete transport.serve;
    throw new Error("no port is free");
  };
  await assert.rejects(a.share(HELLO), /no port is free/);
  const { link } = await a.share(HELLO);
  const { blob } = await b.fetch(link);
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), HELLO);
  await net.close();
});

test("an answer that is refused is left, however long it goes on", async () => {
  const net = await network(3, { seed: 6 });
  const [a, b] = net.nodes;
  const { link } = await a.share(HELLO, { listed: false });
  const signals = [];
  net.at(b.addr).request = async (_, signal) => {
    signals.push(signal);
    return new Response(new ReadableStream(), { status: 500 });
  };
  await assert.rejects(b.fetch(link), NoProvidersError);
  assert.ok(signals.length > 0 && signals.every(({ aborted }) => aborted));
  await net.close();
});

test("a share that fails leaves nothing behind, and takes nothing from one before it", async () => {
  const net = await network(4, { seed: 7 });
  const [a, b] = net.nodes;
  const builder = new HashListBuilder();
  builder.update(HELLO);
  const key = contentKeyOf(builder.finish().id());
  /** Who is said to have it, once all that nobody renews has run out. */
  const providers = async () => {
    await assert.rejects(a.share(HELLO, { name: "line\nbreak" }), InvalidRecord);
    await net.sleep(2 * DAY);
    const addresses = [];
    for await (const { address } of b.providers(key)) addresses.push(address);
    return addresses;
  };
  assert.deepEqual(await providers(), []);
  const { link } = await a.share(HELLO, { listed: false });
  assert.deepEqual(await providers(), [a.addr]);
  assert.equal(await (await b.fetch(link)).blob.text(), "hello");
  await net.close();
});

test("what is shared twice is served until both are withdrawn, or one has failed", async () => {
  const net = await network(3, { seed: 15 });
  const [a, b] = net.nodes;
  const listed = false;
  const [failed, one, two] = await Promise.allSettled([
    a.share(HELLO, { name: "line\nbreak" }),
    a.share(HELLO, { listed }),
    a.share(HELLO, { listed }),
  ]);
  assert.ok(failed.reason instanceof InvalidRecord);
  const text = async () => (await b.fetch(two.value.link)).blob.text();
  assert.equal(await text(), "hello");
  // Twice is no more than once, even of a copy.
  for (const share of [one.value, structuredClone(one.value)]) a.withdraw(share);
  assert.equal(await text(), "hello");
  a.withdraw(two.value);
  await assert.rejects(text(), ({ rejected }) => rejected[a.addr].kind === "not_found");
  await net.close();
});

test("a number that does not fit is refused, not cut down", async () => {
  const net = await network(2, { seed: 16 });
  const [a] = net.nodes;
  const key = "ab".repeat(20);
  const most = 2n ** 64n - 1n;
  for (const wrong of [-1n, most + 1n]) {
    const said = (name) => ({ name: "RangeError", message: `${name} is an integer from 0 to ${most}, this is ${wrong}` });
    await assert.rejects(a.getSigned(new Uint8Array(32), { newerThan: wrong }), said("newerThan"));
    await assert.rejects(a.put(HELLO, { cas: wrong }), said("cas"));
  }
  const message = "port is an integer from 0 to 65535, this is 70000";
  await assert.rejects(a.announce(key, { port: 70_000 }), { name: "RangeError", message });
  for (const port of [-1, 1.5, NaN, 0xffffff]) await assert.rejects(a.announce(key, { port }), RangeError);
  await assert.rejects(a.announce(key, { transports: 300 }), RangeError);
  assert.equal(await a.getSigned(new Uint8Array(32), { newerThan: most }), undefined);
  for (const port of [undefined, null, 0, 65_535]) assert.equal((await a.announce(key, { port })).stored, 1);
  await net.close();
});

test("a time that was up before the beginning is a timeout, and nothing goes on", async () => {
  const net = await network(3, { seed: 8 });
  const [a] = net.nodes;
  for (const timeout of [-1, NaN]) await assert.rejects(a.findNode("0".repeat(40), { timeout }), QueryTimeout);
  assert.equal(a.health().operations, 0);
  await net.close();
});

test("a slow writer slows down what is asked, and no provider is blamed for it", async () => {
  const net = await network(3, { seed: 9 });
  const [a, b] = net.nodes;
  const pieces = 24;
  const { link } = await a.share(new Uint8Array(pieces << 20), { listed: false });
  const transport = net.at(b.addr);
  const request = transport.request.bind(transport);
  let asked = 0;
  let waiting = 0;
  let most = 0;
  transport.request = (wanted, signal) => {
    if (wanted.range) {
      asked += 1;
      waiting += 1;
      most = Math.max(most, waiting);
    }
    return request(wanted, signal);
  };
  const { rejected, providers } = await b.fetch(link, {
    // Longer than a provider may be silent.
    write: async () => {
      await net.sleep(10_000);
      waiting -= 1;
    },
  });
  assert.deepEqual([rejected, providers, asked], [{}, { [a.addr]: pieces }, pieces]);
  // Four requests in flight, and before them those four that are being written.
  assert.ok(most <= 8, `${most} pieces waited`);
  await net.close();
});

test("who is asked through a relay that lets us wait is not blamed for it", async () => {
  const net = await network(3, { seed: 9 });
  const [a, b] = net.nodes;
  const { link } = await a.share(new Uint8Array(6 << 20), { listed: false });
  const transport = net.at(b.addr);
  const request = transport.request.bind(transport);
  let asked = 0;
  transport.request = async (wanted, signal) => {
    // The first piece proves the list.
    if (wanted.range && ++asked > 1) {
      wanted.waits(true);
      await net.sleep(30_000);
      wanted.waits(false);
    }
    return request(wanted, signal);
  };
  const { rejected, providers } = await b.fetch(link);
  assert.deepEqual([rejected, providers, asked], [{}, { [a.addr]: 6 }, 6]);
  await net.close();
});

test("a store that throws is renewed only where the error can be given to withdraw", async () => {
  const net = await network(2, { seed: 10 });
  const [a, b] = net.nodes;
  const content = new Uint8Array(32);
  const renew = true;
  const stores = [
    () => a.put(HELLO, { renew }),
    () => a.announce("ab".repeat(20), { renew }),
    () => a.publish({ name: "long walk", size: 1, content }, { renew }),
  ];
  await assert.rejects(a.put(HELLO, { renew, quorum: 2 }), ({ result }) => {
    assert.equal(a.health().publications, 1);
    a.withdraw(result);
    return true;
  });
  await b.close();
  for (const store of stores) await assert.rejects(store(), NoAnswerError);
  assert.equal(a.health().publications, 0);
  await assert.rejects(a.put(HELLO, { renew, timeout: 1 }), ({ partial }) => {
    assert.equal(a.health().publications, 1);
    a.withdraw(partial);
    return true;
  });
  assert.equal(a.health().publications, 0);
  await net.close();
});

test("a fetch can be left while its last pieces are being written, and writes no more", async () => {
  const net = await network(3, { seed: 11 });
  const [a, b] = net.nodes;
  const size = 3 << 20;
  const { link } = await a.share(new Uint8Array(size), { listed: false });
  const transport = net.at(b.addr);
  const request = transport.request.bind(transport);
  const left = async (end, options) => {
    const written = [];
    let release;
    const held = new Promise((resolve) => (release = resolve));
    // After the one that proves the list both others come at once, and one waits for the other.
    let asked = 0;
    let all;
    const pieces = new Promise((resolve) => (all = resolve));
    transport.request = async (wanted, signal) => {
      const answer = await request(wanted, signal);
      if (wanted.range && ++asked === 3) all();
      if (asked > 1) await pieces;
      return answer;
    };
    await assert.rejects(b.fetch(link, {
      ...options,
      write: (start) => (written.push(start) > 1 ? held : undefined),
      // Once the fetch has heard of the last one.
      progress: ({ done }) => done === size && setImmediate(() => (end(), release())),
    }), { name: options ? "AbortError" : "ClosedError" });
    await new Promise(setImmediate);
    assert.equal(written.length, 2);
  };
  const abort = new AbortController();
  await left(() => abort.abort(), { signal: abort.signal });
  await left(() => void b.close());
  await net.close();
});

test("who leaves while a file is hashed does not wait for all of it", async () => {
  const net = await network(2, { seed: 12 });
  const [a] = net.nodes;
  const abort = new AbortController();
  for (const [end, name] of [[() => abort.abort(), "AbortError"], [() => void a.close(), "ClosedError"]]) {
    const file = new Blob([new Uint8Array(3 << 20)]);
    let read = 0;
    file.slice = (...range) => {
      read += 1;
      end();
      return Blob.prototype.slice.apply(file, range);
    };
    await assert.rejects(a.share(file, name === "AbortError" ? { signal: abort.signal } : {}), { name });
    assert.equal(read, 1);
  }
  await net.close();
});

test("who asks for several results at once gets each of them", async () => {
  const net = await network(3, { seed: 13 });
  const steps = net.nodes[0].lookup("0".repeat(40));
  let came = 0;
  const ask = async () => {
    const { value } = await steps.next();
    came += 1;
    return value.type;
  };
  // The first two are there at once: both are asked.
  assert.deepEqual(await Promise.all([ask(), ask()]), ["asked", "asked"]);
  void ask();
  await ask();
  assert.equal(came, 4);
  await net.close();
});

test("what is no link is no record", async () => {
  const net = await network(1, { seed: 14 });
  for (const link of ["foo", { id: new Uint8Array(3), contacts: [] }]) {
    await assert.rejects(net.nodes[0].fetch(link), InvalidRecord);
  }
  await net.close();
});
