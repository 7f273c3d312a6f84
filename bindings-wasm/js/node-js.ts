// Node.js with sockets of its own, and all of the core.
import * as glue from "../pkg/full/kadlet.js";
import { loader } from "./core-module.js";
import { open, type NodeOptions } from "./create.js";
import { fileStore } from "./file-store.js";
import type { RunningNode } from "./node.js";
import type { StateStore } from "./storage.js";
import { UdpTransport, usualBinds } from "./udp.js";

/** What a node on UDP is opened with. */
export interface UdpOptions extends NodeOptions {
  /** IP:PORT of our sockets, port 0 any free one. Without it any of IPv4, and of IPv6 where there is one. */
  readonly bind?: string | readonly string[] | undefined;
  /** A file for id, contacts and records, used by one node at a time (`FILE.lock` sees to it); or a store of your own. */
  readonly state?: string | StateStore | undefined;
}

const load = loader(glue, () => new URL("../pkg/full/kadlet_bg.wasm", import.meta.url));

/** Opens a node on UDP and joins its network; its options take names of hosts in `bootstrap`. */
export async function createNode({ bind, state, transport, ...options }: UdpOptions = {}): Promise<RunningNode> {
  const { binds, also } = bind === undefined ? usualBinds() : { binds: typeof bind === "string" ? [bind] : bind, also: [] };
  const store = typeof state === "string" ? async () => fileStore(state) : state && (async () => state);
  return open({ ...options, transport: transport ?? new UdpTransport(binds, also), store, load });
}

export { fileStore } from "./file-store.js";
export { UdpTransport } from "./udp.js";
export * from "./public.js";
