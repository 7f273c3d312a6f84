// UDP on Node.js, files on the disk, and HTTP for what is shared.
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIPv6, type Socket as Stream } from "node:net";
import { networkInterfaces } from "node:os";
import type { Address } from "../pkg/kadlet.js";
import { familyOf } from "./address.js";
import { ClosedError } from "./errors.js";
import { prefixOf } from "./sdp.js";
import type { ContentServer, Link, Shelf, Transport, TransportHost } from "./transport.js";

/** The longest datagram we send: what every IPv6 path carries is longer by its headers. */
const MTU = 1500;
/** The addresses of one name that are tried. */
const ADDRESSES_A_NAME = 8;
/** Connections at once, and those of one source: a quarter, as of the program's. */
const CONNECTIONS = 256;
const CONNECTIONS_PER_SOURCE = 64;
/** A request is a few lines: who is not done with it by then, milliseconds, loses its place. */
const HEAD = 10_000;
/** How often Node.js looks for those. */
const LOOK = 1000;
/** A client that reads nothing for so long, milliseconds, loses its place. */
const IDLE = 30_000;
/** Bytes sent at once. */
const BLOCK = 1 << 18;

const text = (host: string, port: number): Address => (isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`);

/** Host and port of IP:PORT, port 0 among them. */
function parse(bind: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-f:.%]+)\]|(\d+\.\d+\.\d+\.\d+)):(\d{1,5})$/i.exec(bind);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw new TypeError(`${bind}: expected IP:PORT, such as 0.0.0.0:7611 or [::]:0`);
  return { host: match[1] ?? match[2] ?? "", port };
}

/** A wildcard as others reach it: by the first address that is not for this machine alone. */
function reached(host: string): string {
  if (host !== "0.0.0.0" && host !== "::") return host;
  const family = host === "::" ? "IPv6" : "IPv4";
  const ours = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
  const out = ours.find((one) => one.family === family && !one.internal && !one.address.startsWith("fe80"));
  return out?.address ?? (family === "IPv6" ? "::1" : "127.0.0.1");
}

/** Where a node is that was told nothing: at any address of IPv4, and of IPv6 where the machine has one. */
export function usualBinds(interfaces = networkInterfaces()): { binds: string[]; also: string[] } {
  const ours = Object.values(interfaces).flatMap((some) => some ?? []);
  const has = ours.some((one) => one.family === "IPv6" && !one.internal && !one.address.startsWith("fe80"));
  return { binds: ["0.0.0.0:0"], also: has ? ["[::]:0"] : [] };
}

function bound(host: string, port: number): Promise<Socket> {
  const socket = createSocket(isIPv6(host) ? { type: "udp6", ipv6Only: true } : { type: "udp4" });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, host, () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

/** UDP sockets, one for each address given (one for each family); those of `also` where the system lets us have them. */
export class UdpTransport implements Transport {
  readonly #binds: readonly string[];
  readonly #also: readonly string[];
  readonly #sockets = new Map<string, Socket>();
  #servers: Server[] = [];
  #hosts: string[] = [];
  #closed = false;

  constructor(binds: readonly string[], also: readonly string[] = []) {
    this.#binds = binds;
    this.#also = also;
    for (const bind of [...binds, ...also]) parse(bind);
  }

  async open(host: TransportHost, signal: AbortSignal): Promise<Link> {
    const addresses: Address[] = [];
    try {
      for (const bind of [...this.#binds, ...this.#also]) {
        const { host: at, port } = parse(bind);
        // One socket sends what is for its family, whichever of them it was asked through.
        if (this.#sockets.has(familyOf(text(at, port)))) {
          throw new TypeError(`${bind}: a node has one address for each family`);
        }
        signal.throwIfAborted();
        const socket = await bound(at, port).catch((error: unknown) => {
          if (this.#also.includes(bind)) return undefined;
          throw error;
        });
        if (socket === undefined) continue;
        const address = text(reached(at), socket.address().port);
        this.#sockets.set(familyOf(address), socket);
        this.#hosts.push(at);
        addresses.push(address);
        socket.on("message", (datagram, from) => {
          // The core's addresses have no zone ("fe80::1%eth0"), and without it no answer would arrive.
          if (!from.address.includes("%")) host.receive(datagram, text(from.address, from.port));
        });
        // Of a datagram that could not be sent: told by `send`'s callback.
        socket.on("error", () => {});
      }
    } catch (error) {
      this.#end();
      throw error;
    }
    this.#failed = (to) => host.failed(to);
    return { addresses, mtu: MTU };
  }

  #failed: (to: Address) => void = () => {};

  send(datagram: Uint8Array, to: Address): void {
    const { host, port } = parse(to);
    this.#sockets.get(familyOf(to))?.send(datagram, port, host, (error) => {
      if (error) this.#failed(to);
    });
  }

  async resolve(host: string, port: number): Promise<Address[]> {
    const found = await lookup(host, { all: true });
    return found.slice(0, ADDRESSES_A_NAME).map(({ address }) => text(address, port));
  }

  async serve(shelf: Shelf): Promise<ContentServer> {
    const answer = (request: IncomingMessage, response: ServerResponse): void =>
      void respond(shelf, request, response).catch(() => response.destroy());
    let port = 0;
    for (const host of this.#hosts) {
      const server = createServer({ headersTimeout: HEAD, requestTimeout: HEAD, connectionsCheckingInterval: LOOK }, answer);
      server.maxConnections = CONNECTIONS;
      server.on("connection", (socket) => this.#admit(socket));
      server.setTimeout(IDLE);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ port, host, ipv6Only: true }, resolve);
      });
      this.#servers.push(server);
      // Closed meanwhile: nobody else would close it, and the process would stay for it.
      if (this.#closed) {
        await this.close();
        throw new ClosedError("the node is closed");
      }
      const address = server.address();
      if (address !== null && typeof address === "object") ({ port } = address);
    }
    return { port, transports: 1 };
  }

  #sources = new Map<string, number>();

  /** Sends away whom its source has left no place. */
  #admit(socket: Stream): void {
    // Without the zone of "fe80::1%eth0".
    const source = prefixOf(socket.remoteAddress?.replace(/%.*/, "") ?? "");
    if (source === undefined) return;
    const there = this.#sources.get(source) ?? 0;
    if (there >= CONNECTIONS_PER_SOURCE) return void socket.destroy();
    this.#sources.set(source, there + 1);
    socket.once("close", () => {
      const left = (this.#sources.get(source) ?? 1) - 1;
      if (left) this.#sources.set(source, left);
      else this.#sources.delete(source);
    });
  }

  #end(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#end();
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    this.#servers = [];
  }
}

/** Waits until the client has read on, or is gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

/** What docs/content.md says of a provider. */
async function respond(shelf: Shelf, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? "";
  const headers: Record<string, string | number> = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Range",
  };
  if (request.method === "OPTIONS") {
    response.writeHead(204, { ...headers, "Access-Control-Allow-Headers": "Range" }).end();
    return;
  }
  const file = request.method === "GET" || request.method === "HEAD" ? shelf.answer(path) : undefined;
  if (file === undefined) {
    response.writeHead(request.method === "GET" || request.method === "HEAD" ? 404 : 405, headers).end();
    return;
  }
  let [first, last, status] = [0, file.size - 1, 200];
  const range = /^bytes=(\d{1,16})-(\d{0,16})$/.exec(request.headers.range ?? "");
  if (range && !path.endsWith("/hashes")) {
    first = Number(range[1]);
    last = Math.min(range[2] ? Number(range[2]) : last, last);
    status = 206;
    if (first > last) {
      response.writeHead(416, { ...headers, "Content-Range": `bytes */${file.size}` }).end();
      return;
    }
    headers["Content-Range"] = `bytes ${first}-${last}/${file.size}`;
  }
  response.writeHead(status, {
    ...headers,
    "Content-Type": "application/octet-stream",
    "Content-Length": last - first + 1,
    "Cache-Control": "public, max-age=31536000, immutable",
    ETag: `"${path.split("/")[2]}"`,
  });
  for (let at = first; request.method === "GET" && at <= last && !response.destroyed; at += BLOCK) {
    const free = response.write(await file.read(at, Math.min(at + BLOCK, last + 1)));
    if (!free) await drained(response);
  }
  response.end();
}
