// What can go wrong, by who can do something about it. All are `DhtError`s. A peer's fault never
// shows here: the core counts it (`stats().rejected`).
import type { Address, ErrorCode, Outcome, Rejection } from "../pkg/kadlet.js";
import type { Attempt } from "./address.js";
import type { PutResult } from "./node.js";

/** Any of the errors below. */
export class DhtError extends Error {
  // Written out in each: of a class's own name a minifier leaves a letter.
  override get name(): string {
    return "DhtError";
  }
}

/** There was nobody to ask: the node has no contacts. At once. */
export class NoPeersError extends DhtError {
  override get name(): string {
    return "NoPeersError";
  }
}

/** Everybody who was asked stayed silent or failed. */
export class NoAnswerError extends DhtError {
  override get name(): string {
    return "NoAnswerError";
  }
}

/** The time was up. `partial` has what was found or stored until then. */
export class QueryTimeout extends DhtError {
  override get name(): string {
    return "QueryTimeout";
  }

  constructor(
    message: string,
    readonly partial?: unknown,
  ) {
    super(message);
  }
}

/** Not begun: the node runs as many operations as it may at once. */
export class OverloadedError extends DhtError {
  override get name(): string {
    return "OverloadedError";
  }
}

/** The node is closed. */
export class ClosedError extends DhtError {
  override get name(): string {
    return "ClosedError";
  }
}

/**
 * Peers answered, and none of those that could have stored it did. `code` is the reason given most
 * often, `seq` the highest sequence number held, with `cas_mismatch` and `stale_sequence`.
 */
export class RefusedError extends DhtError {
  override get name(): string {
    return "RefusedError";
  }

  constructor(
    message: string,
    readonly code: ErrorCode,
    readonly seq: bigint | undefined,
  ) {
    super(message);
  }
}

/** A newer value is stored already: `seq` is its sequence number. */
export class StaleSequence extends RefusedError {
  override get name(): string {
    return "StaleSequence";
  }
}

/** Fewer nodes took a record than asked for; those in `result` have it, and `withdraw` takes it. */
export class QuorumError extends DhtError {
  override get name(): string {
    return "QuorumError";
  }

  constructor(
    message: string,
    readonly result: PutResult,
  ) {
    super(message);
  }
}

/** The bytes are none that a record can have: a salt too long, a signature that is wrong. */
export class InvalidRecord extends DhtError {
  override get name(): string {
    return "InvalidRecord";
  }
}

/** The value has `size` bytes, and `limit` are allowed. */
export class ValueTooLarge extends InvalidRecord {
  override get name(): string {
    return "ValueTooLarge";
  }

  constructor(
    readonly size: number,
    readonly limit: number,
  ) {
    super(`a value has at most ${limit} bytes, this has ${size}`);
  }
}

/** What was kept is no state of a node, is damaged, another network's, or a later version wrote it. It is left alone. */
export class InvalidState extends DhtError {
  override get name(): string {
    return "InvalidState";
  }
}

/** None of the addresses is a node of our network: `attempts` says of each why. */
export class BootstrapError extends DhtError {
  override get name(): string {
    return "BootstrapError";
  }

  constructor(readonly attempts: readonly Attempt[]) {
    const words = attempts.map(({ address, result }) => `${address} ${result.replaceAll("_", " ")}`);
    super(`no bootstrap address works: ${words.join("; ")}`);
  }
}

/** Nobody offers the content, or all who did were dropped: `rejected` says of each why. */
export class NoProvidersError extends DhtError {
  override get name(): string {
    return "NoProvidersError";
  }

  constructor(readonly rejected: Readonly<Record<Address, Rejection>>) {
    const words = Object.entries(rejected).map(([who, why]) => `${who} ${why.text}`);
    super(words.length ? `no provider is left: ${words.join("; ")}` : "nobody offers it");
  }
}

/** The relay cannot be used. `code` is that of its close frame, where it gave one. */
export class RelayError extends DhtError {
  override get name(): string {
    return "RelayError";
  }

  constructor(
    message: string,
    readonly code?: number,
  ) {
    super(message);
  }
}

/** The core could not be loaded: a policy of the page, an old browser, or a file that is not there. */
export class LoadError extends DhtError {
  override get name(): string {
    return "LoadError";
  }
}

/** The error in an outcome, if it is one: that nobody has something is a result. */
export function errorOf(outcome: Outcome, partial?: unknown): DhtError | undefined {
  switch (outcome) {
    case "success":
    case "absent":
      return undefined;
    case "no_peers":
      return new NoPeersError("there is nobody to ask: the node has no contacts");
    case "no_answer":
      return new NoAnswerError("nobody who was asked gave an answer");
    case "deadline_exceeded":
      return new QueryTimeout("the time was up", partial);
    case "overloaded":
      return new OverloadedError("this node does as much at once, or renews as many records, as it may");
    case "cancelled":
      return new ClosedError("the node is closed");
  }
  const { code, seq } = outcome;
  return code === "stale_sequence"
    ? new StaleSequence(`a newer value is stored already: its sequence number is ${seq}`, code, seq)
    : new RefusedError(`every holder refused: ${code}`, code, seq);
}
