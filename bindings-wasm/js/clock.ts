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

/** The longest timer, milliseconds: after a sleep nothing is later than by that. */
const LONGEST = 30_000;
/** What the wall clock has to run ahead, milliseconds, to show a sleep: who corrects it by less moves nothing. */
const SLEEP = 5000;
/**
 * A longer sleep counts as one of two days: no record lives longer, and a wall clock that was set to
 * another year must not do more.
 */
const LONGEST_SLEEP = 2 * 86_400_000;

const nothing = (): void => {};

/** Goes on while the machine sleeps, when `performance.now` and timers may stand still, and never back. */
export function systemClock(): Clock {
  let steady = performance.now();
  let wall = Date.now();
  let time = 0;
  const now = (): number => {
    const [steadyBefore, wallBefore] = [steady, wall];
    steady = performance.now();
    wall = Date.now();
    const passed = steady - steadyBefore;
    const ahead = wall - wallBefore - passed;
    time += passed + (ahead > SLEEP ? Math.min(ahead, LONGEST_SLEEP) : 0);
    return time;
  };
  return {
    now,
    at(time, call) {
      let timer: ReturnType<typeof setTimeout>;
      const look = (): void => {
        const left = time - now();
        if (left <= 0) call();
        else set(left);
      };
      // Rounded up: a timer that fires early would only be set again.
      const set = (left: number): void => void (timer = setTimeout(look, Math.min(Math.max(Math.ceil(left), 0), LONGEST)));
      set(time - now());
      return () => clearTimeout(timer);
    },
    wait: () => nothing,
    busy: () => nothing,
  };
}
