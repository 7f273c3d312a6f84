// Writes the core as text beside the compiled files, for `kadlet/inline`.
import { readFileSync, writeFileSync } from "node:fs";

const here = (name) => new URL(`../${name}`, import.meta.url);
const base64 = readFileSync(here("pkg/kadlet_bg.wasm")).toString("base64");
writeFileSync(here("dist/inline-wasm.js"), `export default "${base64}";\n`);
writeFileSync(here("dist/inline-wasm.d.ts"), readFileSync(here("js/inline-wasm.d.ts")));
