// One connection to one peer: made by an offer and an answer, two channels, and its end.
import type { Address, Id } from "../pkg/kadlet.js";
import { Pieces } from "./pieces.js";
import { type Description, fromSdp, hostOf, permitted, prefixOf, toSdp } from "./sdp.js";
import type { Shelf } from "./transport.js";

/** Candidates that have not shown by then are left out, milliseconds. */
const GATHERING = 1000;
/** An attempt that has not come to a channel by then has failed: two signals may each wait for a timeout. */
const DIALLING = 15_000;
/** Datagrams are dropped while so many bytes wait in the channel: they would come too late. */
const BACKLOG = 256 * 1024;
/** Channels that a peer may try to open beside ours before its connection is closed. */
const STRAY = 8;

/** What a connection tells. */
export interface PeerHost {
  shelf(): Shelf | undefined;
  opened(peer: Peer): void;
  /** Once; `failed` says whether there never was a channel. */
  closed(peer: Peer, failed: boolean): void;
  datagram(peer: Peer, bytes: Uint8Array): void;
}

/** One peer. */
export class Peer {
  readonly pieces: Pieces;
  /** Whose addresses count as one with its; undefined if they are spared. */
  readonly prefix: string | undefined;
  open = false;
  /** When we last had something to say to it: what comes from it says nothing of its worth. */
  used = performance.now();
  /** Another attempt took its place: its end is none of a peer's. */
  replaced = false;
  /** The peer's answer is there: it may come twice, for signals are sent again. */
  told = false;
  /** Our half of the exchange went straight to the address, and nowhere else. */
  straight = false;
  #connection: RTCPeerConnection;
  #datagrams: RTCDataChannel;
  #limit: ReturnType<typeof setTimeout>;
  #stray = 0;
  /** What we told the peer at its address: who shows it receives there. */
  #ours: string | undefined;
  #theirs = "";
  #shown = false;
  #over = false;

  constructor(
    readonly id: Id,
    readonly address: Address,
    readonly session: string,
    /** Whether we made the offer. */
    readonly offered: boolean,
    iceServers: RTCIceServer[],
    readonly mtu: number,
    readonly host: PeerHost,
  ) {
    this.prefix = prefixOf(hostOf(address));
    this.#connection = new RTCPeerConnection({ iceServers });
    // Agreed beforehand: nothing that a peer opens is needed.
    const fast = { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 };
    this.#datagrams = this.#connection.createDataChannel("datagrams", fast);
    this.#datagrams.binaryType = "arraybuffer";
    const ordered = this.#connection.createDataChannel("pieces", { negotiated: true, id: 1 });
    const shelf = (): Shelf | undefined => (this.#shown ? host.shelf() : undefined);
    const shown = (proof: string): void => {
      if (proof !== this.#ours) return this.close();
      this.#shown = true;
      this.#opens();
    };
    this.pieces = new Pieces(ordered, shelf, () => this.close(), shown);
    this.#limit = setTimeout(() => this.close(), DIALLING);
    ordered.onopen = () => this.pieces.show(this.#theirs);
    this.#datagrams.onopen = () => this.#opens();
    this.#datagrams.onclose = ordered.onclose = () => this.close();
    this.#datagrams.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (this.open && data instanceof ArrayBuffer && data.byteLength <= mtu) host.datagram(this, new Uint8Array(data));
    };
    this.#connection.ondatachannel = ({ channel }) => {
      channel.close();
      this.#stray += 1;
      if (this.#stray > STRAY) this.close();
    };
    this.#connection.onconnectionstatechange = () => {
      const { connectionState } = this.#connection;
      if (connectionState === "failed" || connectionState === "closed") this.close();
    };
  }

  /** It takes its address once the peer has shown that what we say there arrives. */
  #opens(): void {
    if (this.#over || this.open || !this.#shown || this.#datagrams.readyState !== "open") return;
    clearTimeout(this.#limit);
    this.open = true;
    this.host.opened(this);
  }

  /** Our offer. */
  async offer(): Promise<Description | undefined> {
    await this.#connection.setLocalDescription(await this.#connection.createOffer());
    return this.#local("offer");
  }

  /** The answer to a peer's offer. */
  async answer(offer: Description): Promise<Description | undefined> {
    await this.#remote(offer);
    await this.#connection.setLocalDescription(await this.#connection.createAnswer());
    return this.#local("answer");
  }

  /** The peer's answer to our offer. */
  answered(answer: Description): Promise<void> {
    this.told = true;
    return this.#remote(answer);
  }

  #remote(description: Description): Promise<void> {
    const candidates = permitted(description.candidates, this.address);
    this.#theirs = description.pwd;
    return this.#connection.setRemoteDescription({ type: description.type, sdp: toSdp({ ...description, candidates }) });
  }

  async #local(type: "offer" | "answer"): Promise<Description | undefined> {
    const connection = this.#connection;
    if (connection.iceGatheringState !== "complete") {
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, GATHERING);
        connection.onicegatheringstatechange = () => {
          if (connection.iceGatheringState !== "complete") return;
          clearTimeout(limit);
          resolve();
        };
      });
    }
    if (this.#over) return undefined;
    const description = fromSdp(type, this.session, connection.localDescription?.sdp ?? "");
    this.#ours = description?.pwd;
    // Nobody could reach us: no need to wait for what cannot come.
    return description?.candidates.length ? description : undefined;
  }

  /** Whether the channel took it or dropped it; false: there is no channel any more. */
  send(datagram: Uint8Array): boolean {
    if (this.#datagrams.readyState !== "open") return false;
    this.used = performance.now();
    if (this.#datagrams.bufferedAmount < BACKLOG) this.#datagrams.send(datagram as Uint8Array<ArrayBuffer>);
    return true;
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    const failed = !this.open;
    this.open = false;
    clearTimeout(this.#limit);
    this.pieces.close();
    this.#connection.close();
    this.host.closed(this, failed);
  }
}
