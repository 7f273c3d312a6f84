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

/** Host and port of HOST:PORT. */
export function split(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || !(port >= 1 && port <= 65_535)) {
    throw new TypeError(`${text}: expected IP:PORT, such as 192.168.1.5:4000 or [fd00::1]:4000`);
  }
  return { host: match[1] ?? match[2] ?? "", port };
}

/** Whether it is written as an address already. */
export const isAddress = (text: string): boolean => /^(\[[^\]]+\]|\d+\.\d+\.\d+\.\d+):\d+$/.test(text);
