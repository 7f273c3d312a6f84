// The core as a page loads it.
import * as glue from "../pkg/kadlet.js";
import { loader } from "./core-module.js";

export const load = loader(glue, () => new URL("../pkg/kadlet_bg.wasm", import.meta.url));
