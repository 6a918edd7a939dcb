/** Time limits and cancellation, for platforms without `AbortSignal.any`. */

import { TimeoutError } from "./errors.js";

/** Until when something may go on, and a signal that ends it then, or when the caller's signal does. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #forward: () => void;
  readonly #end: number;

  constructor(
    timeoutMs: number,
    private readonly outer: AbortSignal | undefined,
  ) {
    this.#end = performance.now() + timeoutMs;
    this.#forward = () => this.#controller.abort(outer?.reason);
    this.#timer = setTimeout(
      () => this.#controller.abort(new TimeoutError(`no reply within ${Math.round(timeoutMs)} ms`)),
      timeoutMs,
    );
    if (outer?.aborted) this.#forward();
    else outer?.addEventListener("abort", this.#forward, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds that are left, from 0. */
  get leftMs(): number {
    return Math.max(0, this.#end - performance.now());
  }

  /** Ends the timer; the caller's signal still counts. */
  keepOpen(): void {
    clearTimeout(this.#timer);
  }

  /** Ends the timer, and leaves the caller's signal alone. */
  close(): void {
    clearTimeout(this.#timer);
    this.outer?.removeEventListener("abort", this.#forward);
  }
}

/** Waits; rejects with the signal's reason when it ends before. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
