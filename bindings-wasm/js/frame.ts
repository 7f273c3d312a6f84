// A relay's binary frames: the other end's address as bytes, then the datagram.
import type { Address } from "../pkg/kadlet.js";

/** The two longest runs of text: an IPv6 address has eight groups of 16 bits. */
const GROUPS = 8;
/** Of a frame, bytes: the longest datagram of any relay behind an IPv6 address. */
const LONGEST = 65_554;

function ipv6Of(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = GROUPS - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...tail];
  const numbers = groups.map((group) => (/^[0-9a-f]{1,4}$/i.test(group) ? parseInt(group, 16) : -1));
  return numbers.includes(-1) ? undefined : numbers.flatMap((number) => [number >> 8, number & 255]);
}

/** As the core writes it: the longest run of zeros, of two groups at least, is `::`. */
function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: GROUPS }, (_, n) => ((bytes[2 * n] ?? 0) << 8) | (bytes[2 * n + 1] ?? 0));
  let start = -1;
  let longest = 1;
  for (let n = 0; n < GROUPS; n++) {
    let end = n;
    while (groups[end] === 0) end++;
    if (end - n > longest) [start, longest] = [n, end - n];
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + longest))}`;
}

/** The bytes in front of a datagram; undefined if that is no address. */
export function headerOf(address: Address): Uint8Array | undefined {
  const match = /^(?:\[([0-9a-f:]+)\]|(\d+)\.(\d+)\.(\d+)\.(\d+)):(\d+)$/i.exec(address);
  const port = Number(match?.[6]);
  if (!match || !(port > 0 && port <= 65_535)) return undefined;
  const bytes = match[1] === undefined ? match.slice(2, 6).map(Number) : ipv6Of(match[1]);
  if (bytes === undefined || bytes.some((byte) => byte > 255)) return undefined;
  return Uint8Array.of(bytes.length === 4 ? 4 : 6, ...bytes, port >> 8, port & 255);
}

/** Who sent a datagram, and the datagram; undefined if the frame is none. */
export function read(frame: Uint8Array): { from: Address; datagram: Uint8Array } | undefined {
  const length = frame[0] === 4 ? 4 : frame[0] === 6 ? 16 : undefined;
  if (length === undefined || frame.length <= length + 3 || frame.length > LONGEST) return undefined;
  const ip = frame.subarray(1, 1 + length);
  const port = ((frame[1 + length] ?? 0) << 8) | (frame[2 + length] ?? 0);
  if (port === 0) return undefined;
  const host = length === 4 ? ip.join(".") : `[${ipv6Text(ip)}]`;
  return { from: `${host}:${port}`, datagram: frame.subarray(3 + length) };
}
