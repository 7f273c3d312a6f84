// The golden traces once more, in Chromium: tests/traces.test.js itself, with what it needs of Node.js
// put in its place.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { build } from "esbuild";
import { browser } from "./setup.js";

const root = new URL("../../../", import.meta.url);
const traces = new URL("core/tests/golden/draft-1/traces/", root);
const modules = {
  "node:assert/strict": "export default { equal(a, b, why) { if (a !== b) throw new Error(`${why}: ${a.slice(0, 300)} is not ${b.slice(0, 300)}`); }, deepEqual() {} };",
  "node:test": "export const test = (name, work) => TESTS.push([name, work]);",
  "node:fs": "export const readFileSync = (url) => FILES[Object.keys(FILES).find((name) => url.pathname.endsWith('/' + name))]; export const readdirSync = () => [];",
};
const standIns = {
  name: "stand-ins",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: "stand-in" }));
    onLoad({ filter: /.*/, namespace: "stand-in" }, ({ path }) => ({ contents: modules[path] }));
  },
};

test("the golden traces give the same bytes in Chromium", async (t) => {
  const { outputFiles } = await build({
    entryPoints: [new URL("bindings-wasm/tests/traces.test.js", root).pathname],
    bundle: true,
    // The package says that its files have no effects of their own; that of the test has.
    ignoreAnnotations: true,
    write: false,
    format: "iife",
    define: { "import.meta.url": '"file:///a/b/c.js"' },
    plugins: [standIns],
  });
  const files = Object.fromEntries(readdirSync(traces).map((name) => [name, readFileSync(new URL(name, traces), "utf8")]));
  const wasm = Object.fromEntries(["pkg/kadlet_bg.wasm", "pkg/full/kadlet_bg.wasm"].map((name) =>
    [name, readFileSync(new URL(`bindings-wasm/${name}`, root)).toString("base64")]));
  const chromium = await browser();
  t.after(() => chromium.close());
  const page = await chromium.page();
  await page.evaluate(({ files, wasm }) => {
    globalThis.TESTS = [];
    globalThis.FILES = files;
    for (const name in wasm) FILES[name] = Uint8Array.from(atob(wasm[name]), (letter) => letter.charCodeAt(0));
    const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    globalThis.Buffer = { from: (given) => (typeof given === "string" ? unhex(given) : { toString: () => hex(given) }) };
  }, { files, wasm });
  await page.evaluate(outputFiles[0].text);
  const replayed = await page.evaluate(() =>
    TESTS.filter(([name]) => name.includes("the same again")).map(([name, work]) => (work(), name)),
  );
  const again = (build) => replayed.filter((name) => name.endsWith(build)).length;
  // The core of a page speaks no Mainline.
  assert.deepEqual([again("all of the core"), again("the core of a page")], [Object.keys(files).length, 2]);
});
