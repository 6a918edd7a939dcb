/** Jobs: their list, their end, and their progress. */

import { pathOf, queryOf } from "./encode.js";
import { JobTimeoutError } from "./errors.js";
import { followEvents } from "./events.js";
import { checkedTimeout } from "./options.js";
import { Paged } from "./pages.js";
import { pause } from "./signals.js";
import type { Transport } from "./transport.js";
import type { CallOptions, Job, JobDocument, RetriedJob } from "./types.js";

export interface JobFilter extends CallOptions {
  status?: Job["status"];
  collection?: string;
  /** Items of a page. */
  limit?: number;
}

export interface JobDocumentFilter extends CallOptions {
  status?: JobDocument["status"];
  /** Items of a page. */
  limit?: number;
}

/** The gateway answers a wait at the latest then; proxies often end a request after a minute. */
const MAX_WAIT_SECONDS = 20;

const PAUSE_MS = 250;

/** Tells whether a job has ended: it is completed, failed or cancelled. */
export function hasEnded(job: Job): boolean {
  return job.status === "completed" || job.status === "failed" || job.status === "cancelled";
}

export class Jobs {
  constructor(private readonly transport: Transport) {}

  /** Jobs, the newest first, without their failures. */
  list({ status, collection, limit, ...options }: JobFilter = {}): Paged<Job> {
    return new Paged(async (cursor) => {
      const path = `/v1/jobs${queryOf({ status, collection, limit, cursor })}`;
      const reply = await this.transport.send<{ jobs: Job[]; next_cursor?: string | null }>({
        ...options, method: "GET", path, repeatable: true, has: "jobs",
      });
      return { items: reply.jobs, cursor: reply.next_cursor ?? undefined };
    });
  }

  async get(jobId: string, options: CallOptions = {}): Promise<Job> {
    return this.transport.send({ ...options, method: "GET", path: jobPath(jobId), repeatable: true, has: "job_id" });
  }

  /**
   * Returns a job once it has ended, in any of the three states.
   *
   * @param options `timeoutMs` is for the whole wait, ten minutes by default.
   * @throws JobTimeoutError it has not ended in time.
   */
  async wait(jobId: string, { signal, timeoutMs = 600_000 }: CallOptions = {}): Promise<Job> {
    const until = performance.now() + checkedTimeout(timeoutMs);
    for (;;) {
      const asked = performance.now();
      const seconds = Math.max(0, Math.min(MAX_WAIT_SECONDS, Math.floor((until - asked) / 1000)));
      const job = await this.transport.send<Job>({
        method: "GET",
        path: jobPath(jobId) + queryOf({ wait_seconds: seconds }),
        repeatable: true,
        has: "job_id",
        timeoutMs: Math.min(seconds * 1000 + this.transport.settings.timeoutMs, Math.max(until - asked, 1000)),
        signal,
      });
      if (hasEnded(job)) return job;
      if (until - performance.now() < 1000) {
        throw new JobTimeoutError(`${jobId} is ${job.status} after ${timeoutMs} ms`, job);
      }
      // A gateway that stops answers at once.
      if (performance.now() - asked < PAUSE_MS) await pause(PAUSE_MS, signal);
    }
  }

  /** Yields a job after each change, and last when it has ended. Opens a stream again that broke. */
  events(jobId: string, options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Job, void, undefined> {
    return followEvents(this.transport, `${jobPath(jobId)}/events`, options.signal);
  }

  /** The documents of a job in the order of its ingest, and how each ended. */
  documents(jobId: string, { status, limit, ...options }: JobDocumentFilter = {}): Paged<JobDocument> {
    return new Paged(async (cursor) => {
      const path = `${jobPath(jobId)}/documents${queryOf({ status, limit, cursor })}`;
      const reply = await this.transport.send<{ documents: JobDocument[]; next_cursor?: string | null }>({
        ...options, method: "GET", path, repeatable: true, has: "documents",
      });
      return { items: reply.documents, cursor: reply.next_cursor ?? undefined };
    });
  }

  /** Cancels the documents that are not embedded yet. */
  async cancel(jobId: string, options: CallOptions = {}): Promise<Job> {
    const path = `${jobPath(jobId)}/cancel`;
    return this.transport.send({ ...options, method: "POST", path, repeatable: true, has: "job_id" });
  }

  /** Embeds the failed documents again. */
  async retry(jobId: string, options: CallOptions = {}): Promise<RetriedJob> {
    return this.transport.send({ ...options, method: "POST", path: `${jobPath(jobId)}/retry`, has: "job_id" });
  }
}

function jobPath(jobId: string): string {
  return pathOf("/v1/jobs/{job_id}", { job_id: jobId });
}
