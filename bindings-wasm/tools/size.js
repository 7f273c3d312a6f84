// Says how much a page has to load: core, glue and host, minified and gzipped. And what Mainline adds to
// the core: its last argument is the folder of a build that differs in this one feature.
import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const size = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** Bytes. The core is far from the 100 kB it should have: it must not grow further unseen. */
const LIMIT = 209_600;

const { outputFiles } = await build({
  entryPoints: [path("dist/index.js")],
  bundle: true,
  // What is loaded only by those who join Mainline.
  external: ["./core.js"],
  minify: true,
  format: "esm",
  write: false,
});
const wasm = size(readFileSync(path("pkg/kadlet_bg.wasm")));
const script = size(outputFiles[0].contents);
const [, , other] = process.argv;
if (other !== undefined) {
  const core = readFileSync(path("pkg/kadlet_bg.wasm"));
  const withMainline = readFileSync(`${other}/kadlet_bg.wasm`);
  const said = (bytes) => `${(size(bytes) / 1000).toFixed(1)} kB gzipped, ${(bytes.length / 1000).toFixed(1)} kB`;
  console.log(`core as wasm without the feature mainline: ${said(core)}; with it: ${said(withMainline)}`);
}
console.log(`gzipped: wasm ${wasm} B + glue and host ${script} B = ${((wasm + script) / 1000).toFixed(1)} kB`);
if (wasm + script > LIMIT) {
  console.error(`that is more than ${LIMIT / 1000} kB`);
  process.exitCode = 1;
}
