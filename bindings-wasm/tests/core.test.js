// The core by itself: wire, table, lookup, ids, and all of it in a worker.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Id, load } from "../dist/core.js";

const core = await load();
const GOLDEN = new URL("../../core/tests/golden/draft-1/datagrams.txt", import.meta.url);
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new TextEncoder().encode(text);
const contact = (n) => ({ id: hex(Uint8Array.of(n).slice()).repeat(20), path: { remote: `10.0.${n}.1:7611` }, capabilities: 3 });

test("golden datagrams, both ways", () => {
  const lines = readFileSync(GOLDEN, "utf8").split("\n").filter((line) => line && !line.startsWith("#"));
  let read = 0;
  for (const line of lines) {
    const [name, datagram, says] = line.split("\t");
    const message = core.decode(Buffer.from(datagram, "hex"), "example");
    const [kind] = says.split(" ");
    if (typeof message === "string") {
      assert.ok(!["query", "response", "error"].includes(kind), name);
      assert.match(message, /^malformed_/);
      continue;
    }
    read += 1;
    assert.equal(message.body.type, kind === "error" ? "failure" : kind, name);
    assert.ok(says.includes(`transaction=${hex(message.transaction)}`), name);
    assert.ok(says.includes(`sender=${message.sender}`), name);
    // What a later version may say otherwise than we do is read, and not written so.
    if (!name.startsWith("later:")) assert.equal(hex(core.encode(message, "example")), datagram, name);
  }
  assert.ok(read > 20);
});

test("Mainline's datagrams, both ways", () => {
  const [sender, target] = ["61".repeat(20), "6d".repeat(20)];
  const message = (body) => ({ transaction: bytes("aa"), sender, body });
  const nodes = [{ id: target, address: "10.0.0.1:1" }, { id: target, address: "[fd00::1]:2" }];
  for (const body of [
    { type: "query", target, method: { type: "announce", token: bytes("token"), port: 8080, seed: true } },
    { type: "query", target, method: { type: "sample_keys" } },
    { type: "response", nodes, providers: [{ address: "10.0.0.1:1" }], token: bytes("t"), listed: ["ipv4", "ipv6"] },
    { type: "response", samples: { keys: [target], total: 2, interval: 300 } },
    { type: "failure", number: 301, text: "CAS mismatch" },
  ]) {
    const datagram = core.encode(message(body), null);
    const said = core.decode(datagram, null);
    assert.equal(said.body.type, body.type);
    assert.deepEqual(core.encode(said, null), datagram);
  }
});

test("a table keeps who answered, and names the closest", () => {
  const table = new core.RoutingTable("0".repeat(40), new Uint8Array(32));
  assert.equal(table.verified(0, contact(1), 20), "inserted");
  assert.equal(table.verified(0, contact(2)), "inserted");
  assert.equal(table.verified(1, contact(1)), "updated");
  assert.equal(table.length, 2);
  assert.deepEqual(table.closest(contact(2).id, 1).map(({ id }) => id), [contact(2).id]);
  assert.equal(table.failed(2, contact(2).id, contact(2).path.remote), 1);
  assert.equal(table.heard(2, contact(3).id, contact(3).path), "candidate");
  assert.equal(table.config().k, 20);
  assert.equal(table.buckets()[0].contacts.length, 2);
});

test("a lookup asks the closest first, and ends with who answered", () => {
  const target = contact(1).id;
  const lookup = new core.Lookup(target, "f".repeat(40), ["ipv4"], { alpha: 1 });
  lookup.start([contact(9)]);
  const asked = [];
  for (let whom = lookup.next(); whom !== "done"; whom = lookup.next()) {
    assert.notEqual(whom, "wait");
    asked.push(whom.id);
    lookup.answered(whom.id, whom.path.remote, 3, [contact(1), contact(4)]);
  }
  assert.deepEqual(asked, [9, 1, 4].map((n) => contact(n).id));
  assert.deepEqual(lookup.closest().map(({ contact: { id }, hop }) => [id, hop])[0], [target, 2]);
  assert.equal(lookup.progress().answered, 3);
});

test("ids", () => {
  const id = Id.of(new Uint8Array(20).fill(255));
  assert.equal(id, "f".repeat(40));
  assert.deepEqual(Id.bytes(id), new Uint8Array(20).fill(255));
  assert.equal(Id.distance(id, id), 0n);
  assert.equal(Id.distance("0".repeat(39) + "1", "0".repeat(40)), 1n);
  assert.equal(Id.prefix("0".repeat(39) + "1", "0".repeat(40)), 159);
  assert.throws(() => Id.of("abc"), RangeError);
  assert.notEqual(Id.random(), Id.random());
});

test("every setting reaches the core, and a slip is told", () => {
  const changed = (value, name) => {
    switch (typeof value) {
      case "number":
        return [value + 1];
      case "boolean":
        return [!value];
      case "string":
        return [{ auto: "server", public: "everybody", ignore: "prefer", kadlet: "other" }[value]];
      default:
        if (value === null) return [{ perSecond: 3, burst: 10 }];
        return Object.entries(value).flatMap(([key, one]) => changed(one, key).map((other) => ({ [key]: other })));
    }
  };
  const merge = (a, b) =>
    typeof b === "object" && b !== null && a !== null
      ? Object.fromEntries(Object.keys(a).map((key) => [key, key in b ? merge(a[key], b[key]) : a[key]]))
      : b;
  const defaults = core.defaultConfig();
  let seen = 0;
  for (const change of changed(defaults)) {
    const node = new core.Node(change, "0".repeat(40), new Uint8Array(32), 0);
    assert.deepEqual(node.config(), merge(defaults, change));
    seen += 1;
  }
  assert.ok(seen > 90, seen);
  assert.equal(new core.Node({ network: null }, "0".repeat(40), new Uint8Array(32), 0).config().network, null);
  const make = (config) => () => new core.Node(config, "0".repeat(40), new Uint8Array(32), 0);
  assert.throws(make({ tabel: {} }), /no setting tabel/);
  assert.throws(make({ table: { k: 1.5 } }), /the setting k has no such value/);
});

test("the core runs in a worker, two of which talk by messages", async () => {
  const workers = [1, 2].map((n) => new Worker(new URL("./worker.js", import.meta.url), { workerData: n }));
  const done = new Promise((resolve) => {
    workers.forEach((worker, at) =>
      worker.on("message", (message) => {
        if (message.outcome) resolve(message.outcome);
        else workers[1 - at].postMessage(message);
      }),
    );
  });
  assert.equal(await done, "success");
  await Promise.all(workers.map((worker) => worker.terminate()));
});
