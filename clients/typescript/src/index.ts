/** Client of Tandem, a semantic-search gateway. */

export { Tandem, type FileInput, type FilesOptions, type IngestOptions } from "./client.js";
export { Collections, Documents } from "./collections.js";
export {
  ApiError, ConflictError, ConnectionError, DeadlineError, ForbiddenError, InvalidReplyError, InvalidRequestError,
  JobTimeoutError, NotFoundError, OverloadedError, RateLimitedError, ServerError, TandemError, TimeoutError,
  UnauthorizedError, UnavailableError,
} from "./errors.js";
export { hasEnded, Jobs, type JobDocumentFilter, type JobFilter } from "./jobs.js";
export type { TandemOptions } from "./options.js";
export { Paged, type Page } from "./pages.js";
export type { RetryPolicy } from "./retry.js";
export { IngestStreamError, type IngestedBatch, type StreamOptions } from "./stream.js";
export type * from "./types.js";
