// What two ends of a data channel have to tell each other, and nothing else of an SDP: it fits into
// a signal, and what a stranger wrote never reaches the browser's parser (docs/webrtc.md).
import type { Address } from "../pkg/kadlet.js";

/** A way to reach one end: UDP only. */
export interface Candidate {
  readonly priority: number;
  /** An IP address, or the name under which a browser hides one from pages (RFC 8828). */
  readonly host: string;
  readonly port: number;
  readonly kind: "host" | "srflx";
}

/** An offer or an answer. */
export interface Description {
  readonly type: "offer" | "answer";
  /** Names the attempt: an answer carries that of its offer. */
  readonly session: string;
  readonly ufrag: string;
  readonly pwd: string;
  /** SHA-256 of the certificate, 64 hexadecimal digits. */
  readonly fingerprint: string;
  readonly setup: "actpass" | "active" | "passive";
  readonly candidates: readonly Candidate[];
}

/** More would be a way to have us probe a network. */
export const MAX_CANDIDATES = 8;
/** What a signal carries, bytes. */
export const MAX_PAYLOAD = 1024;

const ICE = /^[A-Za-z0-9+/]+$/;
const HIDDEN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local$/;
const LINES = ["kadlet-rtc.2", "ice", "fingerprint", "setup"];

/** RFC 5737. */
const DOCUMENTATION = ["192.0.2.", "198.51.100.", "203.0.113."];

/** How far an address reaches: 0 this machine, 1 this house, 2 everywhere; undefined: no host's. */
export function scopeOf(host: string): 0 | 1 | 2 | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  if (four) {
    const [a = 0, b = 0, ...rest] = four.slice(1).map(Number);
    if ([a, b, ...rest].some((part) => part > 255) || a === 0 || a >= 224 || four.slice(1).some((part) => /^0./.test(part))) return undefined;
    if (DOCUMENTATION.some((prefix) => host.startsWith(prefix))) return undefined;
    if (a === 127) return 0;
    const near = a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || (a === 169 && b === 254) || (a === 100 && b >= 64 && b < 128);
    return near ? 1 : 2;
  }
  if (HIDDEN.test(host)) return 1;
  if (!/^[0-9a-f:]{2,39}$/i.test(host) || !host.includes(":")) return undefined;
  try {
    // The browser's own parser: what is no address is no URL.
    host = new URL(`http://[${host}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
  if (host === "::1") return 0;
  if (/^f[cd]|^fe[89ab]/.test(host)) return 1;
  // Global unicast, without what embeds an IPv4 address that would have to be judged itself.
  return /^[23]/.test(host) && !/^2002:|^2001:db8:/.test(host) ? 2 : undefined;
}

/** Whoever has one address has many like it: an IPv4 /24 or an IPv6 /48 counts as one, as in the core.
 * Undefined for addresses of this machine and this house, which are spared. */
export function prefixOf(host: string): string | undefined {
  const scope = scopeOf(host);
  if (scope === 0 || scope === 1) return undefined;
  if (!host.includes(":")) return host.replace(/\.\d+$/, "");
  return [...(host.split("::")[0] ?? "").split(":"), "0", "0"].slice(0, 3).join(":");
}

/** The host of IP:PORT. */
export const hostOf = (address: Address): string => address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

/** Candidates that somebody at `address` may name: none of a nearer scope than its own. A name that a
 * browser made up is looked for by multicast alone, and harms nobody. */
export function permitted(candidates: readonly Candidate[], address: Address): Candidate[] {
  const own = scopeOf(hostOf(address)) ?? 2;
  return candidates.filter(({ host }) => {
    const scope = scopeOf(host);
    return scope !== undefined && (scope >= own || HIDDEN.test(host));
  });
}

/** Reads what the browser made; undefined if it lacks something. */
export function fromSdp(type: "offer" | "answer", session: string, sdp: string): Description | undefined {
  const line = (name: string): string | undefined => new RegExp(`^a=${name}:(.*?)\\s*$`, "m").exec(sdp)?.[1];
  const candidates: Candidate[] = [];
  for (const [, rest = ""] of sdp.matchAll(/^a=candidate:(.*?)\s*$/gm)) {
    const [, component, transport, priority, host = "", port, , kind] = rest.split(" ");
    if (component !== "1" || transport?.toLowerCase() !== "udp" || (kind !== "host" && kind !== "srflx")) continue;
    if (scopeOf(host) !== undefined) candidates.push({ priority: Number(priority), host, port: Number(port), kind });
  }
  candidates.sort((a, b) => b.priority - a.priority);
  const [ufrag, pwd, setup] = [line("ice-ufrag"), line("ice-pwd"), line("setup")];
  const fingerprint = line("fingerprint")?.replace(/^sha-256 /i, "").replaceAll(":", "").toLowerCase();
  if (ufrag === undefined || pwd === undefined || fingerprint === undefined) return undefined;
  const description = { type, session, ufrag, pwd, fingerprint, setup: setup as Description["setup"], candidates: candidates.slice(0, MAX_CANDIDATES) };
  // What we would not read ourselves is not sent.
  return decode(encode(description));
}

export function encode(it: Description): Uint8Array {
  const lines = [
    `kadlet-rtc.2 ${it.type} ${it.session}`,
    `ice ${it.ufrag} ${it.pwd}`,
    `fingerprint ${it.fingerprint}`,
    `setup ${it.setup}`,
    ...it.candidates.map(({ kind, host, port, priority }) => `${kind} ${host} ${port} ${priority}`),
  ];
  return new TextEncoder().encode(lines.join("\n"));
}

/** Reads a payload strictly; undefined if anything of it is not as `encode` writes it. */
export function decode(payload: Uint8Array): Description | undefined {
  if (payload.length > MAX_PAYLOAD || payload.some((byte) => byte > 126 || (byte < 32 && byte !== 10))) return undefined;
  const lines = new TextDecoder().decode(payload).split("\n").map((line) => line.split(" "));
  if (lines.length < LINES.length || lines.length > LINES.length + MAX_CANDIDATES) return undefined;
  if (LINES.some((name, n) => lines[n]?.[0] !== name)) return undefined;
  const [[, type, session, ...a] = [], [, ufrag, pwd, ...b] = [], [, fingerprint, ...c] = [], [, setup, ...d] = [], ...rest] = lines;
  if (a.length + b.length + c.length + d.length > 0) return undefined;
  if ((type !== "offer" && type !== "answer") || !/^[0-9a-f]{16}$/.test(session ?? "")) return undefined;
  if (!ICE.test(ufrag ?? "") || !ICE.test(pwd ?? "") || !/^[0-9a-f]{64}$/.test(fingerprint ?? "")) return undefined;
  // Lengths: RFC 8839, section 5.4.
  if (ufrag!.length < 4 || ufrag!.length > 64 || pwd!.length < 22 || pwd!.length > 128) return undefined;
  if (setup !== "actpass" && setup !== "active" && setup !== "passive") return undefined;
  if ((type === "offer") !== (setup === "actpass")) return undefined;
  const candidates: Candidate[] = [];
  for (const [kind, host = "", port = "", priority = "", ...more] of rest) {
    if ((kind !== "host" && kind !== "srflx") || more.length || scopeOf(host) === undefined) return undefined;
    if (!/^[1-9]\d{3,4}$/.test(port) || Number(port) < 1024 || Number(port) > 65_535) return undefined;
    if (!/^[1-9]\d{0,9}$/.test(priority) || Number(priority) > 2 ** 31 - 1) return undefined;
    candidates.push({ kind, host, port: Number(port), priority: Number(priority) });
  }
  return { type, session: session!, ufrag: ufrag!, pwd: pwd!, fingerprint: fingerprint!, setup, candidates };
}

/** Writes the SDP that a browser takes, of nothing but what was read. */
export function toSdp(it: Description): string {
  const pairs = it.fingerprint.toUpperCase().match(/../g)?.join(":");
  return [
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    `a=ice-ufrag:${it.ufrag}`,
    `a=ice-pwd:${it.pwd}`,
    `a=fingerprint:sha-256 ${pairs}`,
    `a=setup:${it.setup}`,
    "a=sctp-port:5000",
    "a=max-message-size:65536",
    ...it.candidates.map(({ priority, host, port, kind }, n) => {
      const behind = kind === "srflx" ? " raddr 0.0.0.0 rport 9" : "";
      return `a=candidate:${n + 1} 1 udp ${priority} ${host} ${port} typ ${kind}${behind}`;
    }),
    "",
  ].join("\r\n");
}
