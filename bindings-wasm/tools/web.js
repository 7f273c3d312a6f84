// Builds the page into dist/web, which `kadlet relay --web` serves.
import { cpSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

const root = new URL("../", import.meta.url);
const out = new URL("dist/web/", root);
mkdirSync(new URL("pkg/", out), { recursive: true });
for (const name of ["index.html", "style.css"]) cpSync(new URL(`web/${name}`, root), new URL(name, out));
// Where js/load.ts looks for it, beside the program.
cpSync(new URL("pkg/kadlet_bg.wasm", root), new URL("pkg/kadlet_bg.wasm", out));
await build({
  entryPoints: [new URL("web/app.ts", root).pathname],
  outfile: new URL("app.js", out).pathname,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});
