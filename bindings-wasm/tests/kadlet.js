// The package as `cargo xtask wasm` made it, loaded from the disk.
import { readFileSync } from "node:fs";
import { initSync } from "../pkg/kadlet.js";

initSync({ module: readFileSync(new URL("../pkg/kadlet_bg.wasm", import.meta.url)) });

export * from "../pkg/kadlet.js";
