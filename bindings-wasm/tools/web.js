// Builds the page into dist/web, which `kadlet relay --web` serves.
import { cpSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

const root = new URL("../", import.meta.url);
const out = new URL("dist/web/", root);
mkdirSync(new URL("pkg/full/", out), { recursive: true });
for (const name of ["index.html", "style.css"]) cpSync(new URL(`web/${name}`, root), new URL(name, out));
// Where js/load.ts and js/core.ts look for them, beside the program; the second is loaded only by
// those who join Mainline.
for (const name of ["pkg/kadlet_bg.wasm", "pkg/full/kadlet_bg.wasm"]) cpSync(new URL(name, root), new URL(name, out));
await build({
  entryPoints: [new URL("web/app.ts", root).pathname],
  outdir: out.pathname,
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});
