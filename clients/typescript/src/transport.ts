/** Sends requests: attempts within one deadline, waits between them, and replies of a bounded size. */

import { ConnectionError, InvalidReplyError, TandemError, errorOf } from "./errors.js";
import { checkedTimeout, type Settings } from "./options.js";
import { parseRetryAfter, waitBeforeRetry, type RetryPolicy } from "./retry.js";
import { Deadline, pause } from "./signals.js";
import type { CallOptions } from "./types.js";

export interface Call extends CallOptions {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query. */
  path: string;
  /** Field that the reply has: another server's may have none. */
  has: string;
  /** Each attempt sends the whole form again. */
  body?: string | FormData;
  contentType?: string;
  headers?: Record<string, string>;
  /** Whether two requests have the effect of one. */
  repeatable?: boolean;
  retry?: RetryPolicy;
  /** Sends the time that is left, so that the gateway gives up when the client does. */
  tellsTimeout?: boolean;
  /** Statuses besides 2xx whose body is the reply. */
  alsoGood?: readonly number[];
}

/** The gateway takes no longer time. */
const MAX_TOLD_MS = 600_000;
const MAX_ERROR_BYTES = 2 ** 20;

/** Of two positions of the store, the newer one: that with the greater number, or of another store. */
export function newerPosition(known: string | undefined, received: string | null): string | undefined {
  const found = received === null ? null : /^(.+)\.([0-9]{1,19})$/.exec(received);
  if (received === null || found === null) return known;
  const [store, number] = [found[1], BigInt(found[2] ?? "0")];
  const before = /^(.+)\.([0-9]{1,19})$/.exec(known ?? "");
  return before !== null && before[1] === store && BigInt(before[2] ?? "0") > number ? known : received;
}

export class Transport {
  /** Newest position of the store that a reply told. */
  position: string | undefined;

  constructor(readonly settings: Settings) {}

  /** Sends a call and returns its reply, parsed from JSON. */
  async send<T>(call: Call): Promise<T> {
    const deadline = new Deadline(checkedTimeout(call.timeoutMs ?? this.settings.timeoutMs), call.signal);
    try {
      return await this.#attempts(call, deadline, async (response) => {
        return parsed<T>(call, await readText(response, this.settings.maxReplyBytes));
      });
    } finally {
      deadline.close();
    }
  }

  /** Sends a call and returns its response, whose body the caller reads while `deadline` lasts. */
  open(call: Call, deadline: Deadline): Promise<Response> {
    return this.#attempts(call, deadline, (response) => Promise.resolve(response));
  }

  async #attempts<T>(call: Call, deadline: Deadline, read: (response: Response) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      let failed: { status?: number; retryAfterMs?: number | undefined; error: unknown };
      try {
        deadline.signal.throwIfAborted();
        const response = await this.#fetch(call, deadline);
        this.position = newerPosition(this.position, response.headers.get("x-tandem-position"));
        if (response.ok || call.alsoGood?.includes(response.status)) return await read(response);
        const { status } = response;
        const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), Date.now());
        const text = await readText(response, MAX_ERROR_BYTES).catch(() => "");
        failed = { status, retryAfterMs, error: errorOf(status, text, response.headers, retryAfterMs) };
      } catch (error) {
        // The platform's errors differ; the signal's reason is the same everywhere.
        deadline.signal.throwIfAborted();
        if (error instanceof TandemError) throw error;
        const message = `no reply to ${call.method} ${call.path}: ${described(error)}`;
        failed = { error: new ConnectionError(message, { cause: error }) };
      }
      const wait = waitBeforeRetry(call.retry ?? this.settings.retry, {
        attempt,
        status: failed.status,
        repeatable: call.repeatable ?? false,
        retryAfterMs: failed.retryAfterMs,
        leftMs: deadline.leftMs,
        draw: Math.random(),
      });
      if (wait === undefined) throw failed.error;
      await pause(wait, deadline.signal);
    }
  }

  async #fetch(call: Call, deadline: Deadline): Promise<Response> {
    const told = Math.max(1, Math.min(MAX_TOLD_MS, Math.ceil(deadline.leftMs)));
    const response = await this.settings.fetch(this.settings.url + call.path, {
      method: call.method,
      headers: {
        ...this.settings.headers,
        ...(call.contentType === undefined ? {} : { "content-type": call.contentType }),
        ...(call.tellsTimeout ? { "x-request-timeout-ms": String(told) } : {}),
        ...call.headers,
      },
      ...(call.body === undefined ? {} : { body: call.body }),
      signal: deadline.signal,
      // An API key goes to no other server.
      redirect: "manual",
      credentials: "omit",
    });
    if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
      await response.body?.cancel();
      throw new InvalidReplyError(`${this.settings.url} redirects; give the URL that it leads to`);
    }
    return response;
  }
}

function parsed<T>(call: Call, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidReplyError(`the reply to ${call.method} ${call.path} is not JSON`);
  }
  if (typeof value !== "object" || value === null || !(call.has in value)) {
    throw new InvalidReplyError(`the reply to ${call.method} ${call.path} has no ${call.has}`);
  }
  return value as T;
}

function described(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  // Node's fetch says "fetch failed", and its cause why.
  if (cause instanceof Error && cause.message !== "") return cause.message;
  return error instanceof Error ? error.message : String(error);
}

/** Returns a body as text; throws an InvalidReplyError if it has more bytes. */
async function readText(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parts: string[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return parts.join("") + decoder.decode();
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel().catch(() => undefined);
      throw new InvalidReplyError(`the reply has more than ${maxBytes} bytes (maxReplyBytes)`);
    }
    parts.push(decoder.decode(value, { stream: true }));
  }
}
