// Data channels between nodes that met through a relay: from then on their datagrams go straight.
//
// A peer's name stays the address that the relay lent it, and the core learns nothing of channels:
// datagrams for such an address take the channel, and what comes by the channel comes from there.
// Channels are signalled through the DHT itself: straight to the address that a channel is to take
// while there is a relay, and without one by one hop through whoever named the target. So nodes that
// hold channels go on without the relay: what is for somebody without one is held for a moment, while
// a channel is dialled (docs/webrtc.md).
import type { Address, Id, Signal } from "../pkg/kadlet.js";
import { DhtError } from "./errors.js";
import type { RunningNode } from "./node.js";
import { Peer, type PeerHost } from "./peer.js";
import type { RelayTransport } from "./relay.js";
import { decode, type Description, encode, hostOf, prefixOf } from "./sdp.js";
import type { ContentRequest, ContentServer, Link, Shelf, Transport, TransportHost } from "./transport.js";
import { hex } from "./words.js";

/** The bit of `capabilities` that says: I hold data channels. */
export const DATA_CHANNEL = 4;
/** How content is to be had: 1 HTTP, 2 a data channel. */
const BY_CHANNEL = 2;
const BY_EITHER = 3;

/** How channels are made. */
export interface WebRtcOptions {
  /** STUN servers; the relay's own without it. */
  readonly iceServers?: RTCIceServer[] | undefined;
  /** Channels at most; each costs a browser some 100 kB. */
  readonly maxChannels?: number | undefined;
}

const MAX_CHANNELS = 48;
/** Attempts at once, ours and others'; half of them are kept for ours. */
const DIALS = 8;
/** Attempts and channels with one prefix: what a bucket and a lookup take of one. Who shares our relay has half of all. */
const DIALS_A_PREFIX = 2;
const CHANNELS_A_PREFIX = 4;
/** One peer may make an offer so often, milliseconds; and is dialled again so long after a failure. */
const OFFER_EVERY = 1000;
const AGAIN = 30_000;
const AGAIN_WITHOUT_RELAY = 3000;
/** Datagrams held without a relay, and for how long. */
const HELD = 256;
const HOLD = 5000;
/** Peers whose id is remembered. */
const KNOWN = 4096;

/** A map that forgets its oldest entry. */
function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > KNOWN) map.delete(map.keys().next().value!);
}

/** A relay, and the channels that make it dispensable. Tells of both by `channels` events. */
export class WebRtcTransport extends EventTarget implements Transport {
  /** What became of offers and datagrams. */
  readonly counters = { offered: 0, accepted: 0, opened: 0, failed: 0, malformed: 0, refused: 0, direct: 0, held: 0 };
  readonly requests = BY_EITHER;
  #host: TransportHost | undefined;
  #node: RunningNode | undefined;
  #link: Link | undefined;
  #shelf: Shelf | undefined;
  #relayed = false;
  /** Why the relay is away, while the core has not been told. */
  #away: Error | undefined;
  #closed = false;
  #warned = false;
  #peers = new Map<Id, Peer>();
  #byAddress = new Map<Address, Peer>();
  #ids = new Map<Address, Id>();
  /** Whether somebody holds channels, as far as it said. */
  #capable = new Map<Address, boolean>();
  #notBefore = new Map<Id, number>();
  #held: { to: Address; datagram: Uint8Array; until: number }[] = [];
  #waiting = new Map<Address, Set<() => void>>();

  constructor(
    readonly relay: RelayTransport,
    readonly options: WebRtcOptions = {},
  ) {
    super();
  }

  /** Channels that are open. */
  get channels(): number {
    return this.#byAddress.size;
  }

  /** Whether there is a line to the relay. */
  get relayed(): boolean {
    return this.#relayed;
  }

  /** Whether `heard` is wanted: without a relay, ids of strangers are worth having. */
  get hears(): boolean {
    return !this.#relayed || this.#waiting.size > 0;
  }

  /** Why there is no channel, if there is none. */
  get refused(): string {
    if (this.channels) return "";
    if (globalThis.RTCPeerConnection === undefined) return "none: this browser has no WebRTC";
    const { failed } = this.counters;
    return failed ? `none: ${failed} attempt${failed === 1 ? "" : "s"} failed, the relay carries everything` : "none";
  }

  async open(host: TransportHost, signal: AbortSignal): Promise<Link> {
    this.#host = host;
    const link = await this.relay.open(
      {
        network: host.network,
        receive: (datagram, from) => host.receive(datagram, from),
        failed: (to) => host.failed(to),
        warn: (warning) => host.warn(warning),
        recall: (key) => host.recall?.(key),
        remember: (key, words) => host.remember?.(key, words),
        down: (reason) => this.#down(reason),
        up: (again) => this.#up(again),
      },
      signal,
    );
    this.#relayed = true;
    return this.#with(link);
  }

  #with(link: Link): Link {
    const able = globalThis.RTCPeerConnection !== undefined;
    return (this.#link = able ? { ...link, capabilities: DATA_CHANNEL } : link);
  }

  #down(reason: Error): void {
    this.#relayed = false;
    if (this.channels) this.#away = reason;
    this.#host?.down(reason, this.channels > 0);
    this.#tell();
  }

  #up(link: Link): void {
    const same = this.#link?.addresses.join() === link.addresses.join();
    this.#relayed = true;
    this.#away = undefined;
    // Whose address nobody could ask is asked now. And what the core announces at another address of
    // ours must not come from the old one.
    for (const peer of this.#all()) if (!same || !peer.straight) peer.close();
    this.#host?.up(this.#with(link));
    for (const { to, datagram } of this.#held.splice(0)) this.relay.send(datagram, to);
    this.#notBefore.clear();
    this.#tell();
    this.#meet();
  }

  #tell(): void {
    this.dispatchEvent(new Event("channels"));
  }

  attach(node: RunningNode): void {
    this.#node = node;
    this.relay.attach(node);
    if (globalThis.RTCPeerConnection === undefined) return;
    node.addEventListener("signal", ({ detail }) => void this.#signalled(detail));
    node.addEventListener("table", () => this.#meet());
    this.#meet();
  }

  /** Somebody was asked or answered. */
  heard(id: Id | undefined, address: Address): void {
    if (id === undefined) return;
    remember(this.#ids, address, id);
    if (!this.#relayed && this.#held.some(({ to }) => to === address)) void this.#dial(id, address);
  }

  /** Dials those of the table that hold channels, nearest first. */
  #meet(): void {
    if (this.#closed || this.#node === undefined || this.#node.closed) return;
    for (const { contacts } of this.#node.buckets()) {
      for (const { contact } of contacts) {
        const { id, path, capabilities } = contact;
        remember(this.#ids, path.remote, id);
        remember(this.#capable, path.remote, (capabilities & DATA_CHANNEL) !== 0);
        if (!this.#capable.get(path.remote)) continue;
        void this.#dial(id, path.remote);
      }
    }
  }

  get #servers(): RTCIceServer[] {
    const stun = this.relay.hello?.stun;
    return this.options.iceServers ?? (stun === undefined ? [] : [{ urls: `stun:${stun}` }]);
  }

  get #most(): number {
    return this.options.maxChannels ?? MAX_CHANNELS;
  }

  /** Whether there is no place for an attempt; one that is to take a channel's place needs no other. */
  #full(address: Address, ours: boolean): boolean {
    const all = [...this.#all()];
    const others = all.filter((peer) => peer.address !== address);
    const trying = all.filter(({ open }) => !open);
    if (trying.length >= DIALS || (!ours && trying.filter(({ offered }) => !offered).length >= DIALS / 2)) return true;
    const prefix = prefixOf(hostOf(address));
    if (prefix !== undefined) {
      // A relay lends all of its clients the same host: they are many.
      const shared = this.#link?.addresses.some((own) => prefixOf(hostOf(own)) === prefix);
      const [attempts, channels] = shared ? [DIALS / 2, this.#most / 2] : [DIALS_A_PREFIX, CHANNELS_A_PREFIX];
      const count = (peers: Peer[]): number => peers.filter((peer) => peer.prefix === prefix).length;
      if (count(trying) >= attempts || count(others) >= channels) return true;
    }
    return others.length >= this.#most && this.#leaves(prefix) === undefined;
  }

  /** The channel that gives way to one of this prefix: of the prefix that has most, and two more at least, one that is idle. */
  #leaves(prefix: string | undefined): Peer | undefined {
    const prefixes = new Map<string, Peer[]>();
    for (const peer of this.#byAddress.values()) {
      if (peer.prefix !== undefined) prefixes.set(peer.prefix, [...(prefixes.get(peer.prefix) ?? []), peer]);
    }
    const there = prefixes.get(prefix ?? "")?.length ?? 0;
    const [heaviest = []] = [...prefixes.values()].sort((a, b) => b.length - a.length);
    if (heaviest.length < there + 2) return undefined;
    return heaviest.filter(({ pieces }) => !pieces.busy).sort((a, b) => a.used - b.used)[0];
  }

  /** Of one id there may be several, at addresses of their own: ids are free. */
  #all(): Set<Peer> {
    return new Set([...this.#peers.values(), ...this.#byAddress.values()]);
  }

  /** Undefined if the browser makes none: it has too many, or wants credentials for a TURN server. */
  #peer(id: Id, address: Address, session: string, offered: boolean): Peer | undefined {
    const host: PeerHost = {
      shelf: () => this.#shelf,
      opened: (peer) => this.#began(peer),
      closed: (peer, failed) => this.#ended(peer, failed),
      datagram: (peer, bytes) => this.#host?.receive(bytes, peer.address),
    };
    try {
      const peer = new Peer(id, address, session, offered, this.#servers, this.#link?.mtu ?? 1232, host);
      this.#peers.set(id, peer);
      return peer;
    } catch (error) {
      // With servers that are none it is so every time.
      if (!this.#warned) this.#host?.warn({ kind: "transport", message: `no channel can be made: ${String(error)}` });
      this.#warned = true;
      this.#failed(address);
      this.#tell();
      return undefined;
    }
  }

  #failed(address: Address): void {
    this.counters.failed += 1;
    this.#wake(address);
  }

  #wake(address: Address): void {
    for (const wake of this.#waiting.get(address) ?? []) wake();
  }

  async #dial(id: Id, address: Address): Promise<void> {
    const node = this.#node;
    const there = this.#peers.get(id);
    if (node === undefined || this.#closed || id === node.id || this.#byAddress.has(address)) return;
    if ((there && !there.open) || this.#full(address, true)) return;
    if (this.#capable.get(address) === false) return;
    const now = performance.now();
    if ((this.#notBefore.get(id) ?? 0) > now) return;
    remember(this.#notBefore, id, now + (this.#relayed ? AGAIN : AGAIN_WITHOUT_RELAY));
    const session = hex(crypto.getRandomValues(new Uint8Array(8)));
    const peer = this.#peer(id, address, session, true);
    if (peer === undefined) return;
    this.counters.offered += 1;
    await this.#say(peer, () => peer.offer());
  }

  async #signalled({ from, payload }: Signal): Promise<void> {
    const said = decode(payload);
    const address = from.path.remote;
    if (said === undefined) {
      this.counters.malformed += 1;
      return;
    }
    const there = this.#peers.get(from.id);
    if (said.type === "answer") {
      if (there?.offered && !there.told && there.session === said.session) await this.#try(there, () => there.answered(said));
      else this.counters.refused += 1;
      return;
    }
    await this.#accept(from.id, address, said, there);
  }

  async #accept(id: Id, address: Address, offer: Description, there: Peer | undefined): Promise<void> {
    const node = this.#node;
    if (node === undefined || this.#closed) return;
    const now = performance.now();
    // Both dialled: the offer of the lower id stands. A peer that has lost its channel makes a new
    // offer; that anybody can make in its name, so an open channel stays until the new one is open.
    const ours = there !== undefined && !there.open && there.offered && node.id < id;
    const soon = (this.#lastOffer.get(id) ?? -OFFER_EVERY) + OFFER_EVERY > now;
    if (ours || soon || id === node.id) {
      this.counters.refused += 1;
      return;
    }
    remember(this.#lastOffer, id, now);
    if (there && !there.open) {
      // Who waits for another address waits in vain.
      there.replaced = there.address === address;
      there.close();
    }
    if (this.#full(address, false)) {
      this.counters.refused += 1;
      return;
    }
    const peer = this.#peer(id, address, offer.session, false);
    if (peer === undefined) return;
    this.counters.accepted += 1;
    await this.#say(peer, () => peer.answer(offer));
  }

  #lastOffer = new Map<Id, number>();

  /** Sends our half of the exchange. */
  #say(peer: Peer, half: () => Promise<Description | undefined>): Promise<void> {
    return this.#try(peer, async () => {
      const said = await half();
      if (said === undefined) return peer.close();
      // Whoever handed it on could put itself in the peer's place.
      peer.straight = this.#relayed;
      await this.#node?.signal(peer.id, encode(said), { at: peer.straight ? peer.address : undefined });
    });
  }

  /** What the browser does not take, or nobody hands on, ends the attempt; not the channel that came
   * about all the same. */
  async #try(peer: Peer, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch {
      if (!peer.open) peer.close();
    }
  }

  #began(peer: Peer): void {
    const there = this.#byAddress.get(peer.address);
    // Not before: whoever makes an offer in another's name comes to no channel.
    if (there === undefined && this.channels >= this.#most) {
      const leaves = this.#leaves(peer.prefix);
      if (leaves === undefined) {
        this.#failed(peer.address);
        return peer.close();
      }
      leaves.close();
    }
    this.counters.opened += 1;
    this.#byAddress.set(peer.address, peer);
    // Now, or for a moment there would be no channel at all.
    there?.close();
    remember(this.#ids, peer.address, peer.id);
    const held = this.#held;
    this.#held = held.filter(({ to }) => to !== peer.address);
    for (const { to, datagram } of held) if (to === peer.address) peer.send(datagram);
    this.#wake(peer.address);
    this.#tell();
  }

  #ended(peer: Peer, failed: boolean): void {
    if (this.#peers.get(peer.id) === peer) this.#peers.delete(peer.id);
    if (this.#byAddress.get(peer.address) === peer) this.#byAddress.delete(peer.address);
    if (failed && !peer.replaced) this.#failed(peer.address);
    if (this.#closed) return;
    if (!this.#relayed && !this.channels && this.#away !== undefined) {
      const reason = this.#away;
      this.#away = undefined;
      this.#host?.down(reason);
    }
    this.#tell();
    // Those of the table that found no place among the attempts get theirs.
    queueMicrotask(() => this.#meet());
  }

  send(datagram: Uint8Array, to: Address): void {
    if (this.#byAddress.get(to)?.send(datagram)) {
      this.counters.direct += 1;
      return;
    }
    if (this.#relayed) return this.relay.send(datagram, to);
    if (!this.channels) return;
    const id = this.#ids.get(to);
    // Who holds no channels is out of reach. So is, for its signal's own lookup, whoever is being
    // dialled: the core goes through whoever named it, and need not wait for a timeout.
    const dialled = id !== undefined && this.#peers.get(id)?.open === false && !this.#held.some((one) => one.to === to);
    if (dialled || this.#capable.get(to) === false) {
      queueMicrotask(() => this.#host?.failed(to));
      return;
    }
    const now = performance.now();
    this.#held = this.#held.filter(({ until }) => until > now);
    if (this.#held.length >= HELD) this.#held.shift();
    this.#held.push({ to, datagram, until: now + HOLD });
    this.counters.held += 1;
    // Not from inside the core's own turn.
    if (id !== undefined) queueMicrotask(() => void this.#dial(id, to));
  }

  /** An open channel to this address, if there can be one soon. */
  async #channelTo(address: Address, signal: AbortSignal): Promise<Peer | undefined> {
    const there = this.#byAddress.get(address);
    const node = this.#node;
    if (there !== undefined || node === undefined || globalThis.RTCPeerConnection === undefined) return there;
    const waiting = this.#waiting.get(address) ?? new Set();
    this.#waiting.set(address, waiting);
    let wake: (() => void) | undefined;
    try {
      // A stranger tells its id with its first answer.
      if (!this.#ids.has(address)) await node.bootstrap([address], { signal, timeout: 3000 }).catch(() => []);
      const id = this.#ids.get(address);
      if (id === undefined || signal.aborted) return undefined;
      const over = new Promise<void>((resolve) => {
        wake = resolve;
        waiting.add(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      this.#notBefore.delete(id);
      await this.#dial(id, address);
      const dialled = this.#peers.get(id);
      if (dialled?.address === address && !dialled.open) await over;
      return this.#byAddress.get(address);
    } finally {
      if (wake) waiting.delete(wake);
      if (!waiting.size) this.#waiting.delete(address);
    }
  }

  /** By a channel where the provider holds channels, else over HTTP. */
  async request(request: ContentRequest, signal: AbortSignal): Promise<Response> {
    const { provider } = request;
    if (this.#byAddress.has(provider) || this.#capable.get(provider)) {
      const peer = await this.#channelTo(provider, signal);
      if (peer) return peer.pieces.request(request, signal);
    }
    try {
      return await this.relay.request(request, signal);
    } catch (why) {
      const peer = await this.#channelTo(provider, signal);
      if (peer) return peer.pieces.request(request, signal);
      throw why;
    }
  }

  /** Dials whoever is at this address; true once there is a channel, false if none comes about. */
  async connect(address: Address, signal: AbortSignal = new AbortController().signal): Promise<boolean> {
    return (await this.#channelTo(address, signal)) !== undefined;
  }

  async serve(shelf: Shelf): Promise<ContentServer> {
    if (globalThis.RTCPeerConnection === undefined) throw new DhtError("nobody could fetch it: this browser has no WebRTC");
    this.#shelf = shelf;
    return { transports: BY_CHANNEL };
  }

  close(): void {
    this.#closed = true;
    for (const peer of this.#all()) peer.close();
    this.#held.length = 0;
    this.relay.close();
  }
}
