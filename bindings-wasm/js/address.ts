// Addresses as people type them, and what became of those that a node was told to start from.
import type { Address, Family, PeerFailure } from "../pkg/kadlet.js";

/** What happened at a bootstrap address. */
export type AttemptResult =
  | "answered"
  | "timeout"
  | "unreachable"
  | "other_network"
  | "ourselves"
  | "not_a_node"
  | "unresolved"
  | "out_of_reach";

/** What became of one address that a node was told to start from. */
export interface Attempt {
  /** As given. */
  readonly given: string;
  /** The address behind it. */
  readonly address: Address;
  readonly result: AttemptResult;
}

export function resultOf(failure: PeerFailure): AttemptResult {
  switch (failure) {
    case "timeout":
    case "other_network":
    case "ourselves":
      return failure;
    case "path_failed":
      return "unreachable";
    default:
      return "not_a_node";
  }
}

export const familyOf = (address: Address): Family => (address.startsWith("[") ? "ipv6" : "ipv4");

/** Host and port of HOST:PORT. An address of IPv6 as the core writes it: by that answers are found. */
export function split(text: string): { host: string; port: number } {
  const match = /^(?:(\[[0-9a-fA-F:.]+\])|([^:\s[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || !(port >= 1 && port <= 65_535)) {
    throw new TypeError(`${text}: expected IP:PORT, such as 192.168.1.5:4000 or [fd00::1]:4000`);
  }
  return { host: match[1] ? new URL(`http://${match[1]}`).hostname : (match[2] ?? ""), port };
}

/** Whether it is written as an address already. */
export const isAddress = (text: string): boolean => /^(\[[^\]]+\]|\d+\.\d+\.\d+\.\d+):\d+$/.test(text);

/** Addresses that are kept as a number and as text. */
const NAMES = 4096;
const texts = new Map<number, Address>();
const numbers = new Map<Address, number>();

function remember(number: number, text: Address): void {
  if (texts.size >= NAMES) {
    texts.clear();
    numbers.clear();
  }
  texts.set(number, text);
  numbers.set(text, number);
}

/** An IPv4 address as the core's quick verbs have it; NaN for anything else. */
export function numberOf(text: Address): number {
  const known = numbers.get(text);
  if (known !== undefined) return known;
  const [, ...parts] = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):(\d{1,5})$/.exec(text) ?? [];
  const [a = 256, b = 0, c = 0, d = 0, port = 0] = parts.map(Number);
  if (Math.max(a, b, c, d) > 255 || port > 65_535) return NaN;
  const number = (a * 2 ** 24 + (b * 2 ** 16 + c * 2 ** 8 + d)) * 2 ** 16 + port;
  // Written otherwise ("010.0.0.1") it is no address of the core's.
  if (textOf(number) !== text) return NaN;
  return number;
}

/** The other way round. */
export function textOf(number: number): Address {
  const known = texts.get(number);
  if (known !== undefined) return known;
  const ip = Math.floor(number / 2 ** 16);
  const text = `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}:${number % 2 ** 16}`;
  remember(number, text);
  return text;
}
