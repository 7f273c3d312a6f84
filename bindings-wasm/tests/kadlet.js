// Both builds of the package as `cargo xtask wasm` made them, loaded from the disk: that with all of the
// core, and as `page` the one that pages load.
import { readFileSync } from "node:fs";
import { initSync as initPage } from "../pkg/kadlet.js";
import { initSync } from "../pkg/full/kadlet.js";

initPage({ module: readFileSync(new URL("../pkg/kadlet_bg.wasm", import.meta.url)) });
initSync({ module: readFileSync(new URL("../pkg/full/kadlet_bg.wasm", import.meta.url)) });

export * as page from "../pkg/kadlet.js";
export * from "../pkg/full/kadlet.js";
