// `createNode` for pages, whichever way the core is loaded.
import type { Core } from "./core-module.js";
import { open, type NodeOptions } from "./create.js";
import type { RunningNode } from "./node.js";
import { isMainline } from "./mainline.js";
import { RelayTransport } from "./relay.js";
import { WebRtcTransport } from "./webrtc.js";
import { browserStore, type StateStore } from "./storage.js";

/** What a node in a page is opened with: `relay` or `transport`, and what is wanted besides. */
export interface CreateOptions extends NodeOptions {
  /** The relay's URL: `wss://relay.example/relay`. */
  readonly relay?: string | undefined;
  /** What the relay's `--token` wants. */
  readonly token?: string | undefined;
  /** Whether channels are made to nodes that hold them too; true without it where there is WebRTC, on Mainline never. */
  readonly webrtc?: boolean | undefined;
  /** STUN servers for channels; the relay's own without it. */
  readonly iceServers?: RTCIceServer[] | undefined;
  /** A name under which the browser keeps id, contacts and records; or a store of your own. */
  readonly state?: string | StateStore | undefined;
  /** Another WebSocket than the global one, as Node.js needs before 22. */
  readonly WebSocket?: typeof WebSocket | undefined;
}

/** `loadFull` brings the core that speaks Mainline, for those who want it. */
export function opener(
  load: () => Promise<Core>,
  loadFull: () => Promise<Core> = load,
): (options: CreateOptions) => Promise<RunningNode> {
  return async ({ relay, token, state, WebSocket, transport, webrtc, iceServers, ...options }) => {
    const relayed = relay === undefined ? undefined : new RelayTransport(relay, { token, WebSocket });
    const mainline = isMainline(options.network ?? options.config?.network);
    // Its nodes hand no signals on.
    const channels = relayed && !mainline && (webrtc ?? globalThis.RTCPeerConnection !== undefined);
    const by = transport ?? (channels ? new WebRtcTransport(relayed, { iceServers }) : relayed);
    if (by === undefined) throw new TypeError("createNode needs a relay's URL or a transport");
    const store = typeof state === "string" ? () => browserStore(state) : state && (async () => state);
    return open({ ...options, transport: by, store, load: mainline ? loadFull : load });
  };
}
