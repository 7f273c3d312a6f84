// The package as `cargo xtask wasm` made it, loaded from the disk.
import { readFileSync } from "node:fs";
import { initSync } from "../pkg/full/kadlet.js";

initSync({ module: readFileSync(new URL("../pkg/full/kadlet_bg.wasm", import.meta.url)) });

export * from "../pkg/full/kadlet.js";
