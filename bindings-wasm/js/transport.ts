// How datagrams come and go. The relay, UDP on Node.js and the network in memory are transports;
// bring your own by giving `createNode` an object of this shape.
import type { Address, Id } from "../pkg/kadlet.js";
import type { RunningNode } from "./node.js";

/** A transport that can be used. */
export interface Link {
  /** Where others reach us, one for each family; the families are those that we reach. */
  readonly addresses: readonly Address[];
  /** The longest datagram, bytes. */
  readonly mtu: number;
  /** Whether others may rely on us; false keeps us out of their tables. */
  readonly serve?: boolean;
  /** Bits that are added to `Config.capabilities`, for what this transport can do. */
  readonly capabilities?: number;
}

/** What a transport tells the node. */
export interface TransportHost {
  /** The network, as datagrams carry it: 16 hexadecimal digits, or "mainline". */
  readonly network: string;
  /** A datagram came. */
  receive(datagram: Uint8Array, from: Address): void;
  /** Nothing can be sent there now. */
  failed(to: Address): void;
  /** It is there again after `down`, with other addresses perhaps. */
  up(link: Link): void;
  /** It is gone for now, and will say when it is there again. `partly`: some are reached all the same. */
  down(reason: Error, partly?: boolean): void;
  /** Something that the person should know. */
  warn(warning: Warning): void;
  /** What was remembered before the page was reloaded; only where the node keeps its state. */
  recall?(key: string): string | undefined;
  /** Remembers a few words for that, or forgets them. */
  remember?(key: string, words: string | undefined): void;
}

/** Something went otherwise than wished, and the node goes on. */
export interface Warning {
  /** What kind of thing. */
  readonly kind: "relay" | "storage" | "transport";
  readonly message: string;
}

/** What is asked of a provider. */
export interface ContentRequest {
  readonly provider: Address;
  /** The path of docs/content.md: `/blake3/<hex>` or `/blake3/<hex>/hashes`. */
  readonly path: string;
  /** First and last byte. */
  readonly range?: readonly [number, number];
  /** Told when the request begins and ends to wait for somebody else than the provider, who is not blamed for it. */
  readonly waits?: (waiting: boolean) => void;
}

/** Serves what is shared, until the node is closed. */
export interface ContentServer {
  /** The port at which it is served; without one it is that of our datagrams. */
  readonly port?: number;
  /** 1 HTTP, 2 a WebRTC data channel. */
  readonly transports: number;
}

/** A file that is shared: the bytes of a range of it, or its hash list. */
export interface Shelf {
  /** Gives the answer to a request, or undefined if that is not shared. */
  answer(path: string): { readonly size: number; read(start: number, end: number): Promise<Uint8Array> } | undefined;
}

/** Carries datagrams. */
export interface Transport {
  /** Opens it; resolves when datagrams can be sent, and rejects with the reason why not. */
  open(host: TransportHost, signal: AbortSignal): Promise<Link>;
  /** Sends a datagram, or drops it: nothing of that ends the node. */
  send(datagram: Uint8Array, to: Address): void;
  /** Nothing is sent or received after this. */
  close(): void | Promise<void>;
  /** Called once the node runs; for transports that signal through the DHT itself. */
  attach?(node: RunningNode): void;
  /** Whether `heard` is to be called now. */
  readonly hears?: boolean;
  /** Somebody was asked or answered; the id is not known before an answer. */
  heard?(id: Id | undefined, address: Address): void;
  /** The addresses behind HOST:PORT, where the transport can find them out. */
  resolve?(host: string, port: number): Promise<Address[]>;
  /** How content is asked for; without it by `fetch` over HTTP. */
  request?(request: ContentRequest, signal: AbortSignal): Promise<Response>;
  /** The bits of providers' transports that `request` speaks; without it 1, HTTP. */
  readonly requests?: number;
  /** Begins to serve what is shared. Without it nothing can be shared. */
  serve?(shelf: Shelf): Promise<ContentServer>;
}
