import type { Id as Text } from "../pkg/kadlet.js";
import { hex } from "./words.js";

/** Of a node or a key: 40 hexadecimal digits, lower case. */
export type Id = Text;

/** Points of the space: 160 bits, written as 40 hexadecimal digits. */
export const Id = {
  /** Of 20 bytes, or of digits in either case. Throws a RangeError if it is none. */
  of(value: string | Uint8Array): Id {
    const text = typeof value === "string" ? value.toLowerCase() : hex(value);
    if (!/^[0-9a-f]{40}$/.test(text)) throw new RangeError("an id has 20 bytes, or 40 hexadecimal digits");
    return text;
  },

  /** A new one, of the system's entropy. */
  random(): Id {
    return Id.of(crypto.getRandomValues(new Uint8Array(20)));
  },

  /** Its 20 bytes. */
  bytes(id: Id): Uint8Array {
    return Uint8Array.from({ length: 20 }, (_, at) => parseInt(Id.of(id).slice(2 * at, 2 * at + 2), 16));
  },

  /** How far two are from each other: exclusive or, as a number. */
  distance(a: Id, b: Id): bigint {
    return BigInt(`0x${Id.of(a)}`) ^ BigInt(`0x${Id.of(b)}`);
  },

  /** How many leading bits two have in common. */
  prefix(a: Id, b: Id): number {
    return 160 - (Id.distance(a, b) ? Id.distance(a, b).toString(2).length : 0);
  },
} as const;
