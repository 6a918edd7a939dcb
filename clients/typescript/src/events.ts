/** Server-sent events of a job. */

import { ConnectionError, InvalidReplyError, UnauthorizedError } from "./errors.js";
import { waitBeforeRetry } from "./retry.js";
import { Deadline, pause } from "./signals.js";
import type { Transport } from "./transport.js";
import type { Job } from "./types.js";

export interface ServerEvent {
  event: string;
  data: string;
}

const MAX_EVENT_CHARS = 2 ** 20;
/** The gateway sends a comment after 15 seconds without a change. */
const IDLE_MS = 45_000;

/** Cuts a text that comes in pieces into events; keeps at most one event. */
export class EventParser {
  #rest = "";

  /** Takes the next piece, and returns the events that it completes. */
  push(text: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    // A piece may end between the two characters of a line's end.
    const blocks = (this.#rest + text).split(/\r?\n\r?\n/);
    this.#rest = blocks.pop() ?? "";
    if (this.#rest.length > MAX_EVENT_CHARS) throw new InvalidReplyError("an event has more than 1 MiB");
    for (const block of blocks) {
      const lines = block.split(/\r?\n/);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));
      const event = lines.find((line) => line.startsWith("event:"))?.slice(6).trim() ?? "message";
      if (data.length > 0) found.push({ event, data: data.join("\n") });
    }
    return found;
  }
}

/** Yields the jobs of a stream of events until its end; opens the stream again if it breaks. */
export async function* followEvents(
  transport: Transport,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Job, void, undefined> {
  let attempt = 0;
  for (;;) {
    for await (const { event, data } of readStream(transport, path, signal)) {
      if (event === "refused") throw new UnauthorizedError({ status: 401, message: messageOf(data) });
      attempt = 0;
      yield parsed(data);
      if (event === "end") return;
    }
    const wait = waitBeforeRetry(transport.settings.retry, {
      attempt, status: undefined, repeatable: true, retryAfterMs: undefined, leftMs: Infinity, draw: Math.random(),
    });
    if (wait === undefined) throw new ConnectionError(`the events of ${path} ended before the job did`);
    attempt += 1;
    await pause(wait, signal);
  }
}

/** Yields the events of one stream; ends when it breaks or is silent. */
async function* readStream(
  transport: Transport,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ServerEvent, void, undefined> {
  const deadline = new Deadline(transport.settings.timeoutMs, signal);
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  try {
    const headers = { accept: "text/event-stream" };
    const response = await transport.open({ method: "GET", path, headers, repeatable: true, has: "" }, deadline);
    deadline.keepOpen();
    reader = response.body?.getReader();
    if (reader === undefined) return;
    const decoder = new TextDecoder();
    const parser = new EventParser();
    for (;;) {
      const piece = await nextPiece(reader, signal);
      if (piece === undefined) return;
      yield* parser.push(decoder.decode(piece, { stream: true }));
    }
  } finally {
    await reader?.cancel().catch(() => undefined);
    deadline.close();
  }
}

/** Returns the next piece; undefined at the end, if the stream breaks, or if nothing comes for long. */
async function nextPiece(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const idle = new Deadline(IDLE_MS, signal);
  const ended = new Promise<undefined>((resolve) => {
    idle.signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  try {
    signal?.throwIfAborted();
    const read = reader.read().then(({ value }) => value, () => undefined);
    const piece = await Promise.race([read, ended]);
    signal?.throwIfAborted();
    return piece;
  } finally {
    idle.close();
  }
}

function parsed(data: string): Job {
  try {
    return JSON.parse(data) as Job;
  } catch {
    throw new InvalidReplyError("an event of a job is not JSON");
  }
}

function messageOf(data: string): string {
  const { message } = parsed(data) as unknown as { message?: unknown };
  return typeof message === "string" ? message : "the key may not read this job any more";
}
