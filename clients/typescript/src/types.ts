/** Messages of the HTTP API, under its names; `openapi.ts` is generated from the gateway's OpenAPI document. */

import type { components } from "./openapi.js";

export type Schemas = components["schemas"];

export type SearchRequest = Schemas["SearchRequest"];
export type SearchReply = Schemas["SearchReply"];
export type SearchHit = Schemas["SearchHit"];
export type SearchBatch = Schemas["SearchBatch"];
export type SearchBatchReply = Schemas["SearchBatchReply"];
export type SimilarRequest = Schemas["SimilarRequest"];
export type Filter = Schemas["Filter"];
export type DocumentInput = Schemas["DocumentInput"];
export type DocumentPatch = Schemas["DocumentPatch"];
export type StoredDocument = Schemas["StoredDocument"];
export type FoundDocuments = Schemas["FoundDocuments"];
export type DocumentDeletion = Schemas["DocumentDeletion"];
export type DeletedDocuments = Schemas["DeletedDocuments"];
export type Job = Schemas["Job"];
export type JobDocument = Schemas["JobDocument"];
export type RetriedJob = Schemas["RetriedJob"];
export type FilesJob = Schemas["FilesJob"];
export type Collection = Schemas["Collection"];
export type CollectionSettings = Schemas["CollectionSettings"];
export type FacetsRequest = Schemas["FacetsRequest"];
export type FacetsReply = Schemas["FacetsReply"];
export type SourceList = Schemas["SourceList"];
export type SourceReply = Schemas["SourceReply"];
export type Health = Schemas["Health"];
export type ErrorBody = Schemas["ErrorBody"];
export type ErrorCode = NonNullable<ErrorBody["code"]>;

/** What becomes of an ingest with documents that are not valid: all are refused, or these are left out. */
export type OnError = "reject" | "skip";

/** Options of every call. */
export interface CallOptions {
  /** Ends the call. It then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds that the call may take with all attempts and waits; the client's own by default. */
  timeoutMs?: number | undefined;
}
