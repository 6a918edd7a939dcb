/** The client of a gateway. */

import { Collections, Documents } from "./collections.js";
import { jsonOf, queryOf } from "./encode.js";
import { Jobs } from "./jobs.js";
import { settingsOf, type TandemOptions } from "./options.js";
import { ingestBatches, type IngestedBatch, type StreamOptions } from "./stream.js";
import { Transport } from "./transport.js";
import type {
  CallOptions, DocumentInput, FilesJob, Health, Job, OnError, SearchBatch, SearchBatchReply, SearchReply,
  SearchRequest, SimilarRequest,
} from "./types.js";

export interface IngestOptions extends CallOptions {
  /** "default" by default; it is created if it does not exist. */
  collection?: string;
  onError?: OnError;
  /** The same documents with the same key are stored once. A key of the call by default, so that it may be repeated. */
  idempotencyKey?: string;
}

export interface FileInput {
  /** Its end tells the format. */
  name: string;
  content: Blob | Uint8Array | string;
}

export interface FilesOptions extends CallOptions {
  collection?: string;
  /** Metadata of all documents. */
  metadata?: Record<string, unknown>;
  idempotencyKey?: string;
}

/** A batch of a stream waits while the gateway is busy, until its time is over. */
const RETRIES_OF_A_BATCH = 10_000;
const BATCH_TIMEOUT_MS = 600_000;
const JSON_TYPE = "application/json";

/** One gateway. It holds no connection of its own, so there is nothing to close. */
export class Tandem {
  readonly jobs: Jobs;
  readonly collections: Collections;
  readonly documents: Documents;
  readonly #transport: Transport;

  constructor(options: TandemOptions = {}) {
    this.#transport = new Transport(settingsOf(options));
    this.jobs = new Jobs(this.#transport);
    this.collections = new Collections(this.#transport);
    this.documents = new Documents(this.#transport);
  }

  /** Newest position of the store that a reply told. A search with the consistency "session" finds all up to it. */
  get position(): string | undefined {
    return this.#transport.position;
  }

  /** Finds documents; a text is a search for it. */
  async search(request: SearchRequest | string, options: CallOptions = {}): Promise<SearchReply> {
    const body = typeof request === "string" ? { query: request } : request;
    return this.#find("/v1/search", body, [body], options);
  }

  /** Several searches at once. */
  async searchBatch(request: SearchBatch, options: CallOptions = {}): Promise<SearchBatchReply> {
    return this.#find("/v1/search/batch", request, request.searches, options);
  }

  /** Finds documents like a document, or near a vector. */
  async searchSimilar(request: SimilarRequest, options: CallOptions = {}): Promise<SearchReply> {
    return this.#find("/v1/search/similar", request, [request], options);
  }

  /** Stores documents by one request; the reply is their job. They are on disk then, and found when it has ended. */
  async ingest(documents: readonly DocumentInput[], options: IngestOptions = {}): Promise<Job> {
    const { collection, onError, idempotencyKey, ...rest } = options;
    return this.#transport.send({
      ...rest,
      method: "POST",
      path: "/v1/ingest",
      body: jsonOf({ documents, collection, on_error: onError }, "documents"),
      contentType: JSON_TYPE,
      headers: { "idempotency-key": idempotencyKey ?? newKey() },
      repeatable: true,
      has: "job_id",
    });
  }

  /**
   * Stores documents as they come, and yields a report of each batch.
   *
   * @throws IngestStreamError a batch was refused, or its time is over.
   */
  ingestStream(
    documents: AsyncIterable<DocumentInput> | Iterable<DocumentInput>,
    options: StreamOptions = {},
  ): AsyncGenerator<IngestedBatch, void, undefined> {
    const path = `/v1/ingest${queryOf({ collection: options.collection, on_error: options.onError })}`;
    const timeoutMs = options.timeoutMs ?? BATCH_TIMEOUT_MS;
    const retry = { ...this.#transport.settings.retry, retries: RETRIES_OF_A_BATCH };
    const send = async (lines: string, signal: AbortSignal): Promise<Job> => {
      const job = await this.#transport.send<Job>({
        method: "POST",
        path,
        body: lines,
        contentType: "application/x-ndjson",
        headers: { "idempotency-key": newKey() },
        repeatable: true,
        has: "job_id",
        retry,
        timeoutMs,
        signal,
      });
      return options.waitForJobs ? this.jobs.wait(job.job_id, { timeoutMs, signal }) : job;
    };
    return ingestBatches(documents, send, options);
  }

  /** Stores the documents of files. A file that cannot be read fails alone: see `files` of the reply. */
  async ingestFiles(files: readonly FileInput[], options: FilesOptions = {}): Promise<FilesJob> {
    const { collection, metadata, idempotencyKey, ...rest } = options;
    const form = new FormData();
    for (const { name, content } of files) {
      form.append("files", content instanceof Blob ? content : new Blob([content as BlobPart]), name);
    }
    if (collection !== undefined) form.append("collection", collection);
    if (metadata !== undefined) form.append("metadata", jsonOf(metadata, "metadata"));
    return this.#transport.send({
      ...rest,
      method: "POST",
      path: "/v1/ingest/files",
      body: form,
      headers: { "idempotency-key": idempotencyKey ?? newKey() },
      repeatable: true,
      has: "job_id",
    });
  }

  /** How the gateway is; also if its store cannot be read ("failed", with the status 503). */
  async health(options: CallOptions = {}): Promise<Health> {
    const path = "/healthz";
    return this.#transport.send({ ...options, method: "GET", path, repeatable: true, alsoGood: [503], has: "status" });
  }

  async #find<T>(
    path: string,
    body: unknown,
    searches: readonly { consistency?: unknown }[],
    options: CallOptions,
  ): Promise<T> {
    const session = this.position !== undefined && searches.some((search) => search.consistency === "session");
    return this.#transport.send({
      ...options,
      method: "POST",
      path,
      body: jsonOf(body, "request"),
      contentType: JSON_TYPE,
      headers: session ? { "x-tandem-position": this.position as string } : {},
      repeatable: true,
      tellsTimeout: true,
      has: path === "/v1/search/batch" ? "replies" : "results",
    });
  }
}

/** A key for one ingest: 32 hexadecimal digits. */
function newKey(): string {
  // `crypto.randomUUID` is missing on pages without https, and in Node.js 18 the global is.
  if (globalThis.crypto === undefined) return Array.from({ length: 32 }, () => hexDigit(Math.random() * 16)).join("");
  return Array.from(globalThis.crypto.getRandomValues(new Uint8Array(32)), hexDigit).join("");
}

function hexDigit(number: number): string {
  return (Math.floor(number) % 16).toString(16);
}
