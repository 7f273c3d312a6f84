// The TypeScript surface against the core's public API: neither moves alone. The core's side is read
// from its source. Whatever is public there is offered here under a name of these tables, or stands
// below with the reason why it is not.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import * as kadlet from "./kadlet.js";

const CORE = new URL("../../core/src/", import.meta.url);
const TYPES = readFileSync(new URL("../src/types.d.ts", import.meta.url), "utf8");
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/^_/, "");

const SOURCES = readdirSync(CORE, { recursive: true })
  .filter((name) => name.endsWith(".rs") && !/(^|\/)tests(\/|\.rs$)/.test(name))
  .sort()
  .map((name) => readFileSync(new URL(name, CORE), "utf8"));

/** Structs whose public fields are those of an interface. */
const STRUCTS = {
  Asked: "Peer", Config: "Config", Contact: "Contact", Dropped: "Dropped", Entry: "Entry",
  EstimateConfig: "EstimateConfig", FetchConfig: "FetchConfig", Found: "Found", Health: "Health",
  LimitConfig: "LimitConfig", LookupConfig: "LookupConfig", NodeInfo: "NodeInfo",
  OperationProgress: "OperationProgress", Path: "Path", Progress: "LookupProgress",
  ProviderStats: "ProviderStats", Rate: "Rate", Request: "Request", RequestConfig: "RequestConfig",
  Resume: "Resume", SavedContact: "SavedContact", Stats: "Stats", StoreConfig: "StoreConfig",
  StoreStats: "StoreStats", TableConfig: "TableConfig", TokenConfig: "TokenConfig", Totals: "Totals",
  Transmit: "Transmit", "Message<'a>": "Message", "Query<'a>": "Query", "Response<'a>": "Response",
};

/** Enums whose variants are strings, or objects with the string as their type. */
const TAGS = {
  AddressIds: "AddressIds", Enforce: "Enforce", ErrorCode: "ErrorCode", Heard: "Heard", Outcome: "Outcome",
  PeerFailure: "PeerFailure", RequestFailure: "RequestFailure", Role: "Role", Verdict: "Verdict",
  FetchEvent: "FetchEvent", "Method<'a>": "Method", Method: "Method",
};

/** Classes with the core's verbs; those that JavaScript does without or calls otherwise. */
const CLASSES = {
  Node: ["new"],
  Fetch: ["new", "verifier", "piece_checked"],
  HashList: ["encoded_len", "piece_verifier"],
  HashListBuilder: ["new"],
  Lookup: ["new", "with_mask"],
  RoutingTable: ["new", "len", "is_empty", "iter", "restore"],
};

/** Other verbs once more, for hosts that carry many datagrams: numbers in place of objects. */
const QUICK = {
  Node: ["deadline", "receive", "take_changes", "take_transmit", "taken_address", "taken_payload"],
};

/** Public in the core and offered by other means, or for Rust alone. */
const OTHERWISE = {
  "events and changes, held by a test below": "Event Change StoreChange",
  "strings or numbers": "Admission Capabilities Distance Families Family Id Instant LinkId Network OperationId RecordName "
    + "Rejected Refusal RequestId",
  "errors, in the core's words": "CommandError FetchError LinkError ListError ParseIdError ResumeError StateError",
  "arguments of the verbs": "Announcement Closest Diverse Filter GetQuery PutOptions",
  "objects, or a word": "Bitmap BucketView Failure Link Rejection Step Want safe_file_name PieceVerifier",
  "parts of a node that are for Rust alone": "Answered Expired Mismatch Request Requests Timeouts Cost Limits Prefix Scope "
    + "is_usable Estimate Token Tokens BadRecord Certified Due Handover HeldValue Imported NewerVersion Origin Refused "
    + "Store Stored Rng",
};

function bodyOf(kind, name) {
  const escaped = name.replace(/[<>']/g, "\\$&");
  for (const text of SOURCES) {
    const found = new RegExp(`^pub ${kind} ${escaped}(?![\\w<])[^{;(]*\\{\\n(.*?)^\\}`, "ms").exec(text);
    if (found) return found[1];
  }
  return undefined;
}

const fieldsOf = (name) => [...(bodyOf("struct", name) ?? "").matchAll(/^    pub (\w+):/gm)].map(([, field]) => field);
const variantsOf = (name) => [...(bodyOf("enum", name) ?? "").matchAll(/^    ([A-Z]\w*)/gm)].map(([, one]) => one);

function interfaceOf(name) {
  const found = new RegExp(`^export interface ${name} \\{\\n(.*?)^\\}`, "ms").exec(TYPES);
  assert.ok(found, `no interface ${name}`);
  return [...found[1].matchAll(/^  (\w+)\??:/gm)].map(([, field]) => field);
}

function wordsOf(name) {
  const found = new RegExp(`^export type ${name} =(.*?);\\n(?=\\n|$|export|/\\*)`, "ms").exec(TYPES);
  assert.ok(found, `no type ${name}`);
  return `=${found[1]}`;
}

for (const [rust, ours] of Object.entries(STRUCTS)) {
  test(`${ours} has the fields of the core's ${rust}`, () => {
    const tagged = ["Query", "Response"].includes(ours);
    const fields = interfaceOf(ours).map(snake).filter((field) => !(tagged && field === "type"));
    const theirs = fieldsOf(rust);
    assert.ok(theirs.length, `the core has no struct ${rust}`);
    assert.deepEqual(fields.sort(), theirs.sort());
  });
}

for (const [rust, ours] of Object.entries(TAGS)) {
  const variants = variantsOf(rust).map(snake);
  if (!variants.length) continue;
  test(`${ours} has the names of the core's ${rust}`, () => {
    const text = wordsOf(ours);
    const words = [...text.matchAll(/type: "(\w+)"|(?:^|[|=(]\s*)"(\w+)"/gm)].map(([, tag, word]) => tag ?? word);
    if (/\bRefused\b/.test(text)) words.push("refused");
    assert.deepEqual([...new Set(words)].sort(), variants.sort());
  });
}

test("what is rejected has the core's names", () => {
  const words = [...wordsOf("Rejected").matchAll(/"(\w+)"/g)].map(([, word]) => word);
  const theirs = [
    ...variantsOf("Malformed").map((name) => `malformed_${snake(name)}`),
    ...variantsOf("Rejected").map(snake).filter((name) => name !== "malformed"),
  ];
  assert.deepEqual(words.sort(), theirs.sort());
});

test("events have the names and fields of the core's", () => {
  const body = bodyOf("enum", "Event");
  const theirs = new Map();
  let last;
  for (const line of body.split("\n")) {
    const variant = /^    ([A-Z]\w*)/.exec(line);
    const field = /^        (\w+):/.exec(line);
    if (variant) theirs.set((last = variant[1]), []);
    else if (field) theirs.get(last).push(field[1]);
  }
  const ours = [...wordsOf("Event").matchAll(/\| (\w+)/g)].map(([, name]) => name);
  assert.deepEqual(ours.sort(), [...theirs.keys()].sort());
  for (const [name, fields] of theirs) {
    const own = interfaceOf(name).map(snake).filter((field) => field !== "type");
    assert.deepEqual(own.sort(), fields.sort(), name);
  }
});

function verbsOf(name) {
  const verbs = new Set();
  for (const text of SOURCES) {
    for (const [, body] of text.matchAll(new RegExp(`^impl ${name} \\{\\n(.*?)^\\}`, "gms"))) {
      for (const [, verb] of body.matchAll(/^    pub (?:const )?fn (\w+)/gm)) verbs.add(verb);
    }
  }
  return verbs;
}

for (const [name, without] of Object.entries(CLASSES)) {
  test(`${name} has the verbs of the core's`, () => {
    const generated = ["constructor", "free", "length"];
    const methods = Object.getOwnPropertyNames(kadlet[name].prototype);
    const statics = Object.getOwnPropertyNames(kadlet[name]).filter((verb) => typeof kadlet[name][verb] === "function");
    const ours = [...methods, ...statics].filter((verb) => !generated.includes(verb) && !verb.startsWith("__"));
    const theirs = [...verbsOf(name), ...(QUICK[name] ?? [])];
    assert.deepEqual([...new Set(ours.map(snake)), ...without].sort(), theirs.sort());
  });
}

test("everything public in the core is offered, or has a reason", () => {
  const known = new Set([
    ...Object.keys(STRUCTS), ...Object.keys(TAGS), ...Object.keys(CLASSES),
    ...Object.values(OTHERWISE).flatMap((names) => names.split(" ")),
  ]);
  const missing = [];
  for (const file of ["lib.rs", "content.rs"]) {
    const text = readFileSync(new URL(file, CORE), "utf8");
    for (const [, many, one] of text.matchAll(/^pub use [\w:]+::(?:\{([^}]*)\}|(\w+);)/gm)) {
      for (const [name] of (many ?? one).matchAll(/\w+/g)) if (!known.has(name)) missing.push(name);
    }
  }
  assert.deepEqual(missing, []);
});

test("nothing public is untyped", () => {
  for (const file of ["kadlet.d.ts", "full/kadlet.d.ts"]) {
    const text = readFileSync(new URL(`../pkg/${file}`, import.meta.url), "utf8");
    // What the glue takes to be loaded with is of its own making.
    const [ours] = text.split("export type InitInput");
    assert.doesNotMatch(ours.replace(/\/\*\*.*?\*\//gs, ""), /[:<|(] *any\b/);
  }
});
