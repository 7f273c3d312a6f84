// The package as it is published: packed, checked, installed where there is nothing else, bundled.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build as esbuild } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { build as vite } from "vite";
import webpack from "webpack";
import { relay, start } from "./program.js";

const run = promisify(execFile);
const here = fileURLToPath(new URL("../", import.meta.url));
const CORES = await Promise.all(["pkg/kadlet_bg.wasm", "pkg/full/kadlet_bg.wasm"].map((name) => readFile(join(here, name))));
let empty;
let tarball;

before(async () => {
  empty = await mkdtemp(join(tmpdir(), "kadlet-package-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", empty], { cwd: here });
  const [packed] = [JSON.parse(stdout)].flat();
  tarball = join(empty, (packed.filename ?? Object.values(packed)[0].filename).replace("/", "-"));
  await writeFile(join(empty, "package.json"), '{ "private": true, "type": "module" }');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: empty });
});

after(() => rm(empty, { recursive: true }));

/** A page's module, and one whose core is inside. */
async function entry(name, text) {
  const path = join(empty, name);
  await writeFile(path, text);
  return path;
}

const PAGE = 'import { createNode } from "kadlet";\nexport const start = (relay) => createNode({ relay });\nglobalThis.start = start;\n';

async function files(folder) {
  const names = await readdir(folder, { recursive: true });
  return names.map((name) => join(folder, name));
}

/** The core lies beside what a bundler wrote, byte for byte, and the one that speaks Mainline too. */
async function carries(folder) {
  const wasm = (await files(folder)).filter((name) => name.endsWith(".wasm"));
  const carried = await Promise.all(wasm.map((name) => readFile(name)));
  assert.deepEqual(carried.sort(Buffer.compare), CORES.toSorted(Buffer.compare));
}

test("README's lines run where there is the package alone, on a path without Rust", async () => {
  const readme = await readFile(join(here, "../README.md"), "utf8");
  const blocks = [...readme.matchAll(/^```js\n(.*?)^```/gms)];
  assert.ok(blocks.length > 0);
  for (const [, script] of blocks) {
    const options = ["--input-type=module", "--eval", script];
    const { stdout } = await run(process.execPath, options, { cwd: empty, env: { PATH: "" } });
    assert.match(stdout, /1 of 1 keep [0-9a-f]{40}\nhello\n127\.0\.0\.1:8080\n/);
  }
});

test("the package's own lines run in front of a relay", async (t) => {
  const [, lines] = /^```js\n(.*?)^```/ms.exec(await readFile(join(here, "README.md"), "utf8"));
  const node = await start(t, "addr", "node", "--json", "--listen", "127.0.0.1:0");
  const { relay: url } = await relay(t);
  const script = lines.replace("wss://relay.example/relay", url).replace("203.0.113.5:7611", node.addr);
  const options = ["--experimental-websocket", "--no-warnings", "--input-type=module", "--eval", `${script}await node.close();`];
  const { stdout } = await run(process.execPath, options, { cwd: empty, env: { PATH: "" } });
  assert.match(stdout, /^Uint8Array\(5\)/);
});

test("publint and are-the-types-wrong have nothing to say", async () => {
  const { messages, pkg } = await publint({ pkgDir: join(empty, "node_modules/kadlet"), pack: false, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
  const attw = join(here, "node_modules/@arethetypeswrong/cli/dist/index.js");
  const resolved = ["--profile", "esm-only", "--exclude-entrypoints", "./kadlet.wasm"];
  await run(process.execPath, [attw, tarball, ...resolved], { cwd: empty });
});

test("the core takes nothing of its host but what its own glue gives", async () => {
  for (const core of CORES) {
    const modules = new Set(WebAssembly.Module.imports(await WebAssembly.compile(core)).map(({ module }) => module));
    assert.deepEqual([...modules], ["./kadlet_bg.js"]);
  }
});

test("every entry is imported where nothing else is installed", async () => {
  const script = `
    import { createNode } from "kadlet/node";
    import { createNode as inPages } from "kadlet";
    import { createNode as inline, RelayError } from "kadlet/inline";
    import { load } from "kadlet/core";
    import { network } from "kadlet/testing";
    const node = await createNode({ bind: "127.0.0.1:0" });
    const { Node } = await load();
    await using_(await network(3));
    for (const create of [inPages, inline]) {
      await create({ relay: "ws://127.0.0.1:9" }).catch((error) => console.log(error.name));
    }
    await node.close();
    async function using_(net) { await net.close(); }
  `;
  const path = await entry("all.js", script);
  const { stdout } = await run(process.execPath, ["--experimental-websocket", "--no-warnings", path]);
  assert.deepEqual(stdout.trim().split("\n"), ["RelayError", "RelayError"]);
});

test("a program in TypeScript compiles, with nothing but strict", async () => {
  await entry("types.ts", `
    import { createNode, type RunningNode, QueryTimeout } from "kadlet";
    import { load, Id } from "kadlet/core";
    const node: RunningNode = await createNode({ relay: "wss://relay.example/relay", config: { table: { k: 8 } } });
    const value: Uint8Array | undefined = await node.get(Id.random());
    for await (const step of node.lookup(node.id)) if (step.type === "answered") console.log(step.rtt, step.named[0]?.id);
    node.addEventListener("warning", ({ detail }) => console.log(detail.kind, detail.message));
    const { decode } = await load();
    const message = decode(new Uint8Array());
    if (typeof message !== "string" && message.body.type === "query") console.log(message.body.method.type, value);
    // @ts-expect-error there is no such setting
    await createNode({ relay: "", config: { tabel: {} } });
    console.log(new QueryTimeout("").partial);
  `);
  const tsc = join(here, "node_modules/typescript/bin/tsc");
  const options = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022", "--module", "nodenext"];
  const lib = ["--lib", "es2023,esnext.disposable,dom,dom.iterable"];
  await run(process.execPath, [tsc, ...options, ...lib, "types.ts"], { cwd: empty }).catch(({ stdout }) => assert.fail(stdout));
});

test("Vite carries the core along", async () => {
  await entry("page.js", PAGE);
  await entry("index.html", '<script type="module" src="page.js"></script>');
  const outDir = join(empty, "vite");
  await vite({ root: empty, logLevel: "error", build: { outDir, rolldownOptions: { input: join(empty, "index.html") } } });
  await carries(outDir);
});

test("webpack carries the core along", async () => {
  const path = join(empty, "webpack");
  const input = await entry("page.js", PAGE);
  const stats = await promisify(webpack)({ mode: "production", target: "web", entry: input, output: { path } });
  assert.deepEqual(stats.toJson({ warnings: true, errors: true }).errors, []);
  await carries(path);
});

test("esbuild takes the inline entry, which runs from one file", async () => {
  const input = await entry("inline.js", PAGE.replace('"kadlet"', '"kadlet/inline"'));
  const outfile = join(empty, "esbuild/bundle.mjs");
  await esbuild({ entryPoints: [input], bundle: true, minify: true, format: "esm", outfile });
  const { start } = await import(pathToFileURL(outfile).href);
  await assert.rejects(start("ws://127.0.0.1:9"), { message: /the relay at 127.0.0.1:9/ });
});

test("errors keep their names in a bundle that was minified", async () => {
  const input = await entry("errors.js", 'export * from "kadlet/inline";\n');
  const outfile = join(empty, "esbuild/errors.mjs");
  await esbuild({ entryPoints: [input], bundle: true, minify: true, format: "esm", outfile });
  const all = Object.entries(await import(pathToFileURL(outfile).href));
  const errors = all.filter(([, { prototype }]) => prototype instanceof Error);
  assert.ok(errors.length > 10);
  for (const [name, { prototype }] of errors) assert.equal(prototype.name, name);
});

test("a plain module script finds the core beside it, with no bundler", async () => {
  const served = join(empty, "plain");
  await mkdir(served);
  await cp(join(empty, "node_modules/kadlet"), served, { recursive: true });
  const { createNode } = await import(pathToFileURL(join(served, "dist/index.js")).href);
  await assert.rejects(createNode({ relay: "ws://127.0.0.1:9" }), { message: /the relay at 127.0.0.1:9/ });
});
