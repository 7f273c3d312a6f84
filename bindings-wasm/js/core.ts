// The core by itself: its verbs without sockets, clock or entropy, and its parts.
import * as glue from "../pkg/full/kadlet.js";
import { loader } from "./core-module.js";

/** The core, loaded: `Node`, `Fetch`, `RoutingTable`, `Lookup`, `decode` and all the rest. */
export type Core = typeof glue;

/** Loads the core; everything else of this module is to be used after that. Once, however often it is called. */
export const load: () => Promise<Core> = loader(glue, () => new URL("../pkg/full/kadlet_bg.wasm", import.meta.url));

export { Id } from "./id.js";
export type * from "../pkg/full/kadlet.js";
export {
  Fetch,
  HashList,
  HashListBuilder,
  Lookup,
  Node,
  RoutingTable,
  bencodeString,
  bencodedString,
  contentIdOf,
  contentKeyOf,
  decode,
  decodeResume,
  defaultConfig,
  encode,
  encodeResume,
  formatLink,
  infoHashIn,
  keyOf,
  mainlineConfig,
  mainlineRouters,
  networkIdOf,
  parseLink,
  parseMagnet,
  safeFileName,
  sign,
  signedKeyOf,
} from "../pkg/full/kadlet.js";
