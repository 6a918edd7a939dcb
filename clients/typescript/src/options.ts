/** Where the gateway is and how to reach it; checked once, when a client is made. */

import { DEFAULT_RETRY, type RetryPolicy } from "./retry.js";

export interface TandemOptions {
  /** Of the gateway; a path is kept, such as `https://example.org/search`. */
  url?: string;
  apiKey?: string;
  /** Milliseconds that a call may take with all attempts and waits. */
  timeoutMs?: number;
  retry?: Partial<RetryPolicy>;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** A larger reply is refused. */
  maxReplyBytes?: number;
  /** In the place of the platform's own. */
  fetch?: typeof globalThis.fetch;
}

export interface Settings {
  url: string;
  timeoutMs: number;
  retry: RetryPolicy;
  headers: Readonly<Record<string, string>>;
  maxReplyBytes: number;
  fetch: typeof globalThis.fetch;
}

export const DEFAULT_URL = "http://localhost:8000";
/** Timers of JavaScript take no longer time. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Returns the settings of a client; throws a TypeError that names the option that is wrong. */
export function settingsOf(options: TandemOptions): Settings {
  const retry = { ...DEFAULT_RETRY, ...options.retry };
  if (!(retry.retries >= 0)) throw new TypeError("retry.retries: a number from 0 was expected");
  if (!(retry.baseMs > 0 && retry.baseMs <= retry.maxMs)) {
    throw new TypeError("retry.baseMs: a number above 0 and up to retry.maxMs was expected");
  }
  const maxReplyBytes = options.maxReplyBytes ?? 64 * 2 ** 20;
  if (!(maxReplyBytes >= 1)) throw new TypeError("maxReplyBytes: a number from 1 was expected");
  return {
    url: urlOf(options.url ?? DEFAULT_URL),
    timeoutMs: checkedTimeout(options.timeoutMs ?? 60_000),
    retry,
    headers: { ...options.headers, ...authorization(options.apiKey) },
    maxReplyBytes,
    // Browsers refuse a fetch that is called as a method of another object.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
  };
}

export function checkedTimeout(timeoutMs: number): number {
  if (!(timeoutMs > 0)) throw new TypeError("timeoutMs: milliseconds above 0 were expected");
  return Math.min(timeoutMs, MAX_TIMEOUT_MS);
}

function authorization(apiKey: string | undefined): Record<string, string> {
  if (apiKey === undefined || apiKey === "") return {};
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new TypeError("apiKey: visible ASCII characters were expected");
  return { authorization: `Bearer ${apiKey}` };
}

function urlOf(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`url: an http or https URL such as ${DEFAULT_URL} was expected`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`url: an http or https URL such as ${DEFAULT_URL} was expected`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError("url: a URL without a user was expected; give the API key as apiKey");
  }
  if (url.search !== "" || url.hash !== "") {
    throw new TypeError("url: a URL without a query and a fragment was expected");
  }
  return url.href.replace(/\/+$/, "");
}
