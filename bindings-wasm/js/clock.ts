/** The only time a node has: milliseconds since an epoch of its own. */
export interface Clock {
  now(): number;
  /** Calls once, then or later; gives what takes it back. */
  at(time: number, call: () => void): () => void;
  /** Somebody begins to wait for the node; gives what ends the wait. Virtual time goes on meanwhile. */
  wait(): () => void;
  /** Something begins that takes no virtual time; gives what ends it. */
  busy(): () => void;
}

/** Browsers take longer timeouts for none at all. */
const LONGEST = 0x7fff_ffff;

const nothing = (): void => {};

export function systemClock(): Clock {
  const epoch = performance.now();
  const now = (): number => performance.now() - epoch;
  return {
    now,
    at(time, call) {
      // Rounded up: a timer that fires early would only be set again.
      const timer = setTimeout(call, Math.min(Math.max(Math.ceil(time - now()), 0), LONGEST));
      return () => clearTimeout(timer);
    },
    wait: () => nothing,
    busy: () => nothing,
  };
}
