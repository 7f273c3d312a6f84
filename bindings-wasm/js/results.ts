// What an operation finds, as it arrives.
import type { OperationProgress, Totals } from "../pkg/kadlet.js";
import type { Operation, OfOperation } from "./driver.js";
import { ClosedError, errorOf } from "./errors.js";

/**
 * Results as they arrive, each once; for `for await`. Leaving the loop stops the traffic. The end
 * without results says that peers answered and nobody has any; could nobody be asked, the loop
 * throws `NoPeersError` or another `DhtError` instead of ending.
 */
export class Results<T> implements AsyncIterableIterator<T>, AsyncDisposable {
  readonly #operation: Operation;
  readonly #pick: (event: OfOperation) => T | undefined;
  #found = 0;
  #over = false;
  /** What it cost; undefined before the end. */
  totals: Totals | undefined;

  constructor(operation: Operation, pick: (event: OfOperation) => T | undefined) {
    this.#operation = operation;
    this.#pick = pick;
  }

  /** How far it is; undefined once it has ended. */
  get progress(): OperationProgress | undefined {
    const { driver, number } = this.#operation;
    return driver.closed ? undefined : driver.core.operation(number);
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    while (!this.#over) {
      let event: OfOperation | undefined;
      try {
        event = await this.#operation.next();
      } catch (error) {
        this.#over = true;
        throw error;
      }
      if (event === undefined) break;
      const value = this.#pick(event);
      if (event.type === "done") {
        this.#over = true;
        this.totals = event.totals;
        const error = value === undefined ? errorOf(event.outcome, this.#found || undefined) : undefined;
        if (error) throw error;
      }
      if (value !== undefined) {
        this.#found += 1;
        return { value, done: false };
      }
    }
    return { value: undefined, done: true };
  }

  /** Stops the traffic. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.#over = true;
    this.#operation.leave(new ClosedError("the loop was left"));
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
