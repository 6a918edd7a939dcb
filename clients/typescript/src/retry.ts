/**
 * Decides whether a call is sent again, and after how long. Time and chance are arguments.
 *
 * A call is sent again after a broken connection, a late attempt, 502, 503 and 504 if it is repeatable, which means that
 * two requests have the effect of one; and always after 429, which the gateway answers before it does anything. The wait is
 * exponential with full jitter, and at least the `Retry-After`. A call never waits past its deadline.
 */

export interface RetryPolicy {
  /** At most this many attempts after the first; 0 for none. */
  retries: number;
  /** The first wait is from 0 to this; each later one up to twice as long. */
  baseMs: number;
  /** Longest wait, unless `Retry-After` is longer. */
  maxMs: number;
}

export const DEFAULT_RETRY: Readonly<RetryPolicy> = { retries: 3, baseMs: 250, maxMs: 20_000 };

export interface Failure {
  /** Number of the attempt that failed, from 0. */
  attempt: number;
  /** Status of its reply; undefined if none came. */
  status: number | undefined;
  repeatable: boolean;
  retryAfterMs: number | undefined;
  /** Milliseconds until the deadline of the call. */
  leftMs: number;
  /** Random number from 0 to 1. */
  draw: number;
}

const MAX_DOUBLINGS = 30;

/** Returns the milliseconds to wait before the next attempt, or undefined to give up. */
export function waitBeforeRetry(policy: RetryPolicy, failure: Failure): number | undefined {
  const { attempt, status, draw } = failure;
  const mayRepeat = status === 429 || (failure.repeatable && (status === undefined || isPassing(status)));
  if (attempt >= policy.retries || !mayRepeat) return undefined;
  let wait = draw * Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt, MAX_DOUBLINGS));
  if (failure.retryAfterMs !== undefined) {
    // Many clients get the same Retry-After; the jitter after it keeps them from coming back together.
    wait = Math.max(wait, failure.retryAfterMs + draw * policy.baseMs);
  }
  return wait < failure.leftMs ? wait : undefined;
}

function isPassing(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/**
 * Returns the milliseconds that a `Retry-After` says, from 0; undefined if it is missing or not valid.
 *
 * @param value whole seconds, or an HTTP date.
 * @param now milliseconds since the epoch.
 */
export function parseRetryAfter(value: string | null, now: number): number | undefined {
  const text = value?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  // Only the form of HTTP: `Date.parse` also takes "5.5" and "May".
  const at = /^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
