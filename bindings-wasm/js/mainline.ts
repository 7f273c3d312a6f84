// What a host adds for BitTorrent's Mainline DHT: values there are bencode, and mostly strings; keys
// are info-hashes, and come in magnet links.
import type { Id, Item } from "../pkg/kadlet.js";
import type * as Full from "../pkg/full/kadlet.js";
import { InvalidRecord } from "./errors.js";

/** The network's name for `createNode`. */
export const MAINLINE = "mainline";

/** The longest value of Mainline, bytes of bencode (BEP 44). */
export const MAX_BENCODED = 1000;

/** What the full build of the core has for it. */
export type Mainline = Pick<typeof Full, "bencodeString" | "bencodedString" | "parseMagnet" | "infoHashIn">;

/** A value of Mainline that is no string: a number, a list or a dictionary, in bencode. */
export class Bencoded extends Uint8Array {}

/** Whether this names Mainline: by name, or as the core's settings say it. */
export const isMainline = (network: string | null | undefined): boolean => network === null || network === MAINLINE;

/** As it is stored: bytes become a string, what is bencode or signed stays. */
export function toNetwork(mainline: Mainline, item: Item): Item {
  return item instanceof Uint8Array && !(item instanceof Bencoded) ? mainline.bencodeString(item) : item;
}

/** What was stored: a string's bytes, or the bencode of anything else. */
export function fromNetwork(mainline: Mainline, value: Uint8Array): Uint8Array {
  return mainline.bencodedString(value) ?? new Bencoded(value);
}

/** What a key stands for: itself, or what a magnet link names. */
export function torrentOf(mainline: Mainline | undefined, key: string): ReturnType<Mainline["parseMagnet"]> {
  if (!key.startsWith("magnet:")) return { type: "hash", hash: key };
  if (mainline === undefined) {
    throw new InvalidRecord(`a magnet link of BitTorrent names nothing in this network: that is Mainline's, network: "${MAINLINE}"`);
  }
  return mainline.parseMagnet(key);
}

/** The info-hash that a key or a link stands for. */
export function hashOf(mainline: Mainline | undefined, key: string): Id {
  const torrent = torrentOf(mainline, key);
  if (torrent.type === "hash") return torrent.hash;
  throw new InvalidRecord("this link names a key pair, whose owner names a torrent: `torrent(link)` asks which");
}
