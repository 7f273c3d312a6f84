// The package's main entry: for pages, and for Node.js behind a relay.
import { load } from "./load.js";
import { opener } from "./opener.js";

/**
 * Opens a node and joins its network. Rejects with `RelayError`, `BootstrapError`, `LoadError`,
 * `InvalidState`, or the reason of `signal`.
 */
export const createNode = opener(load, async () => (await import("./core.js")).load());

export type { CreateOptions } from "./opener.js";
export * from "./public.js";
