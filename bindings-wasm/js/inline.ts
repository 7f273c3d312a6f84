// The same as the main entry, with the core inside: for bundlers that carry no other files along.
import * as glue from "../pkg/kadlet.js";
import { loader } from "./core-module.js";
import { opener } from "./opener.js";

const load = loader(glue, async () => {
  const { default: base64 } = await import("./inline-wasm.js");
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
});

/** Opens a node and joins its network, as the main entry's does; Mainline is not inside. */
export const createNode = opener(load);

export type { CreateOptions } from "./opener.js";
export * from "./public.js";
