/** Ingests documents as they come, in batches of a bounded size, with a bounded number of them under way. */

import { jsonOf } from "./encode.js";
import { ApiError, TandemError } from "./errors.js";
import type { DocumentInput, Job } from "./types.js";

export interface StreamOptions {
  collection?: string;
  onError?: "reject" | "skip";
  /** Documents of a batch, at most; 500 by default. */
  batchDocuments?: number;
  /** Characters of a batch as JSON, at most, unless one document has more; 2 Mi by default. */
  batchChars?: number;
  /** Batches that are sent and not answered, at most; 2 by default. */
  concurrency?: number;
  /** Milliseconds for each batch, with its waits while the gateway is busy; ten minutes by default. */
  timeoutMs?: number;
  /** Yields a batch when its job has ended, and not when it is stored. */
  waitForJobs?: boolean;
  signal?: AbortSignal;
}

/** A batch that is stored. */
export interface IngestedBatch {
  /** Of the batch's first document in the whole input, from 0. */
  firstIndex: number;
  documents: number;
  job: Job;
}

/** A stream of documents stopped. The batches that were yielded are stored, and others may be. */
export class IngestStreamError extends TandemError {
  constructor(
    message: string,
    cause: unknown,
    /** Of the first document of the batch that failed. */
    readonly firstIndex: number,
    /** Of the document that the gateway names; undefined if it names none. */
    readonly documentIndex: number | undefined,
  ) {
    super(message, { cause });
  }
}

interface Batch {
  firstIndex: number;
  lines: string[];
  chars: number;
}

/** Sends a batch of lines of JSON, and returns the job. */
export type SendBatch = (lines: string, signal: AbortSignal) => Promise<Job>;

type Source = AsyncIterable<DocumentInput> | Iterable<DocumentInput>;

/**
 * Yields a report of each batch, in the order of the input. It reads the input only as fast as batches are answered and
 * reports are taken: at most `concurrency` batches are in memory, and one more that is being filled.
 */
export async function* ingestBatches(
  documents: Source,
  send: SendBatch,
  options: StreamOptions,
): AsyncGenerator<IngestedBatch, void, undefined> {
  const concurrency = atLeastOne("concurrency", options.concurrency ?? 2);
  const stop = new AbortController();
  const forward = (): void => stop.abort(options.signal?.reason);
  if (options.signal?.aborted) forward();
  options.signal?.addEventListener("abort", forward, { once: true });
  const underWay: Promise<IngestedBatch>[] = [];
  const source = batches(documents, options);
  let reading = 0;
  const read = async (): Promise<IteratorResult<Batch, void>> => {
    reading += 1;
    return source.next().finally(() => (reading -= 1));
  };
  try {
    let next: ReturnType<typeof read> | undefined = read();
    while (next !== undefined || underWay.length > 0) {
      const [oldest] = underWay;
      const events: Promise<Event>[] = [];
      if (oldest !== undefined) events.push(oldest.then((report) => ({ report })));
      if (next !== undefined && underWay.length < concurrency) events.push(next.then((batch) => ({ batch })));
      // An input that is slow keeps no report and no error back.
      const event = await firstOf(events, stop.signal);
      if ("report" in event) {
        underWay.shift();
        yield event.report;
      } else if (event.batch.done) {
        next = undefined;
      } else {
        underWay.push(handled(report(event.batch.value, send, stop.signal)));
        next = handled(read());
      }
    }
  } finally {
    // After an error, or when the caller stops: no request goes on unseen.
    stop.abort(new TandemError("the ingest stopped"));
    options.signal?.removeEventListener("abort", forward);
    const closed = handled(source.return());
    // An input that is waited for is closed once it goes on.
    await Promise.allSettled(reading === 0 ? [...underWay, closed] : underWay);
  }
}

type Event = { report: IngestedBatch } | { batch: IteratorResult<Batch, void> };

/** Returns what comes first; rejects with the signal's reason if that comes before. */
async function firstOf<T>(events: readonly Promise<T>[], signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => undefined;
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([stopped, ...events]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Marks a promise that is awaited later, or never: its failure is no unhandled one. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function report(batch: Batch, send: SendBatch, signal: AbortSignal): Promise<IngestedBatch> {
  const { firstIndex, lines } = batch;
  try {
    const job = await send(lines.join("\n"), signal);
    return { firstIndex, documents: lines.length, job };
  } catch (error) {
    if (!(error instanceof TandemError)) throw error;
    const named = error instanceof ApiError ? /^documents\[([0-9]+)\]/.exec(error.field ?? "") : null;
    const index = named === null ? undefined : firstIndex + Number(named[1]);
    const where = index === undefined ? `the batch from document ${firstIndex}` : `document ${index}`;
    throw new IngestStreamError(`${where}: ${error.message}`, error, firstIndex, index);
  }
}

/** Cuts documents into batches; closes the input if the caller stops. */
async function* batches(documents: Source, options: StreamOptions): AsyncGenerator<Batch, void, undefined> {
  const most = atLeastOne("batchDocuments", options.batchDocuments ?? 500);
  const mostChars = atLeastOne("batchChars", options.batchChars ?? 2 * 2 ** 20);
  let batch: Batch = { firstIndex: 0, lines: [], chars: 0 };
  let index = 0;
  for await (const document of documents) {
    const line = jsonOf(document, `documents[${index}]`);
    if (batch.lines.length > 0 && batch.chars + line.length > mostChars) {
      yield batch;
      batch = { firstIndex: index, lines: [], chars: 0 };
    }
    batch.lines.push(line);
    batch.chars += line.length + 1;
    index += 1;
    if (batch.lines.length >= most) {
      yield batch;
      batch = { firstIndex: index, lines: [], chars: 0 };
    }
  }
  if (batch.lines.length > 0) yield batch;
}

function atLeastOne(name: string, value: number): number {
  if (!(Number.isInteger(value) && value >= 1)) throw new TypeError(`${name}: a whole number from 1 was expected`);
  return value;
}
