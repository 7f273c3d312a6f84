// Replays the golden traces: the same calls, the same answers, byte for byte.
// core/tests/traces/main.rs says how the files are written.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as kadlet from "./kadlet.js";

const TRACES = new URL("../../core/tests/golden/draft-1/traces/", import.meta.url);

// The arguments of each verb, in order; optional ones are null in a trace.
const VERBS = {
  new: ["config", "id", "seed", "now"],
  restore: ["config", "state", "seed", "now", "elapsed"],
  sign: ["secret", "salt", "seq", "value"],
  handle_datagram: ["now", "path", "datagram"],
  handle_path_failed: ["now", "path"],
  handle_timeout: ["now"],
  link_up: ["now", "link", "local", "families", "mtu"],
  link_down: ["now", "link"],
  bootstrap: ["now", "addresses"],
  find_node: ["now", "target"],
  providers: ["now", "key"],
  scrape: ["now", "key"],
  sample: ["now", "target"],
  announce: ["now", "key", "port", "transports", "renew"],
  get: ["now", "key", "salt", "newer_than"],
  put: ["now", "item", "cas", "renew"],
  search: ["now", "query"],
  publish: ["now", "entry", "renew"],
  signal: ["now", "target", "payload"],
  cancel: ["now", "operation"],
  set_deadline: ["now", "operation", "after"],
  set_id: ["now", "id"],
  shutdown: ["now"],
  export_state: ["now"],
  restore_record: ["now", "record", "elapsed"],
  id: [],
  config: [],
  table: ["family"],
  closest: ["target", "family"],
  operation: ["operation"],
  stats: [],
  health: [],
  estimate: [],
};

const BYTES = new Set(
  "datagram payload record salt secret seed state value public_key signature extra content".split(" "),
);
const MICROS = new Set(["now", "after", "elapsed", "deadline"]);
const BIGINTS = new Set(["seq", "cas", "newer_than"]);
const TIMES = new Set(["rtt", "elapsed", "remaining", "deadline", "seen", "refreshed"]);

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));

// JSON.parse would round the greatest sequence numbers: they are kept as text until they are read.
const parse = (line) => JSON.parse(line.replace(/("(?:seq|cas|newer_than)":)(\d+)/g, '$1"$2"'));

// What a verb of JavaScript is given for what the line says.
function read(name, value, core) {
  if (value === null || value === undefined) return undefined;
  if (BIGINTS.has(name)) return BigInt(value);
  if (BYTES.has(name)) return unhex(value);
  if (MICROS.has(name)) return value / 1000;
  if (name === "item" && typeof value === "string") return unhex(value);
  if (name === "config") {
    // Two settings lie deeper than the trace says; what it does not say is as in a network of ours.
    const { max_changes: maxChanges, deadline, ...own } = value;
    const ours = core.defaultConfig();
    return { ...ours, ...own, deadline: deadline / 1000, store: { ...ours.store, maxChanges } };
  }
  if (["item", "path", "entry"].includes(name)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [camel(k), read(k, v)]));
  }
  if (name === "addresses") return value.map((one) => read("path", one));
  return value;
}

// What JavaScript was given, as canonical JSON.
function words(value, name) {
  if (value === undefined || value === null) return "null";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return String(TIMES.has(name) ? Math.round(value * 1000) : value);
  if (value instanceof Uint8Array) return `"${hex(value)}"`;
  if (Array.isArray(value)) return `[${value.map((one) => words(one)).join()}]`;
  if (typeof value === "object") {
    const fields = Object.entries(value).map(([k, v]) => [snake(k), words(v, k)]);
    fields.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${fields.map(([k, v]) => `${JSON.stringify(k)}:${v}`).join()}}`;
  }
  return JSON.stringify(value);
}

function drain(poll) {
  const all = [];
  for (let one = poll(); one !== undefined; one = poll()) all.push(one);
  return all;
}

class Replay {
  node = undefined;

  constructor(core) {
    this.core = core;
  }

  call(call) {
    const given = VERBS[call.call].map((name) => read(name, call[name], this.core));
    switch (call.call) {
      case "new":
        this.node = new this.core.Node(...given);
        return undefined;
      case "restore":
        this.node = this.core.Node.restore(...given);
        return undefined;
      case "sign":
        return this.core.sign(...given);
    }
    const returns = this.node[camel(call.call)](...given);
    if (call.call !== "config") return returns;
    const { network, role, capabilities, deadline, store } = returns;
    return { network, role, capabilities, deadline, maxChanges: store.maxChanges };
  }

  out(call) {
    let returns;
    try {
      returns = this.call(call);
    } catch (error) {
      returns = { error: error.message };
    }
    const { node } = this;
    if (node === undefined) return { returns };
    return {
      returns,
      transmits: drain(() => node.pollTransmit()),
      events: drain(() => node.pollEvent()),
      changes: drain(() => node.pollChange()),
      deadline: node.pollTimeout(),
    };
  }
}

// The core that pages load speaks no Mainline.
const REPLAYS = [
  ["all of the core", kadlet, ["mainline.jsonl", "native.jsonl", "restored.jsonl"]],
  ["the core of a page", kadlet.page, ["native.jsonl", "restored.jsonl"]],
];

for (const [build, core, traces] of REPLAYS) {
  for (const trace of traces) {
    test(`${trace}: the same again from ${build}`, () => {
      const replay = new Replay(core);
      const lines = readFileSync(new URL(trace, TRACES), "utf8").trimEnd().split("\n");
      for (const [number, line] of lines.entries()) {
        const out = `,"out":${words(replay.out(parse(line).in))}}`;
        const recorded = line.slice(line.indexOf(',"out":'));
        assert.equal(out, recorded, `${trace}:${number + 1}`);
      }
    });
  }
}
