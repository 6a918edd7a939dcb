"""Ingest and jobs."""

from typing import Literal

import msgspec

from tandem_contract.client_api.common import DEFAULT_COLLECTION, Metadata
from tandem_contract.embed import TextFormat

JobStatus = Literal["pending", "running", "completed", "failed", "cancelled"]

JobDocumentStatus = Literal[
    "pending",
    "embedded",
    "truncated",
    "unreadable",
    "unchanged",
    "failed",
    "cancelled",
    "replaced",
    "deleted",
    "skipped",
]
"""What became of a document of a job. ``truncated`` and ``unreadable``: it is embedded, and counts as such in the job.
``replaced``, ``deleted``: another request did that before it was embedded. ``skipped``: it was not valid."""

OnError = Literal["reject", "skip"]
"""What an ingest does with documents that are not valid. ``reject``: it is refused as a whole. ``skip``: it leaves them
out, and is refused only if no document is valid."""


class DocumentInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as a client sends it; the gateway makes an id if there is none."""

    text: str
    """The document's text, at least one character that is not white space."""
    id: str | int | None = None
    """A whole number stands for its text: 1 is the document "1"."""
    metadata: Metadata = {}
    format: TextFormat | msgspec.UnsetType = msgspec.UNSET
    """``text`` if it is missing. ``markdown``: headings and blocks decide where passages begin."""
    source: str | msgspec.UnsetType | None = msgspec.UNSET
    """Name of the source that the document belongs to; see ``SourceList``."""
    hash: str | msgspec.UnsetType | None = msgspec.UNSET
    """The client's hash of the document, which changes when the document does; only with a source."""


class IngestRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/ingest``; a document replaces an existing one with the same id."""

    documents: list[DocumentInput]
    """Documents to store."""
    collection: str = DEFAULT_COLLECTION
    """Name of the collection, which is created if it does not exist."""
    on_error: OnError | msgspec.UnsetType = msgspec.UNSET
    """``reject`` if it is missing."""


class DocumentFailure(msgspec.Struct, frozen=True):
    """A document that could not be embedded, and the reason."""

    id: str
    """The document's id."""
    error: str
    """The reason."""


class SkippedDocument(msgspec.Struct, frozen=True):
    """A document of an ingest that was left out because it is not valid."""

    index: int
    """Its position in the request, from 0."""
    id: str | None
    """Null if it has none that is valid."""
    param: str
    """Path of the field that is not valid, such as ``documents[3].text``."""
    message: str
    """What is wrong with the field."""


class Job(msgspec.Struct, frozen=True):
    """An ingest and its progress; times are RFC 3339 in UTC."""

    job_id: str
    """Id of the job."""
    status: JobStatus
    """State of the job. It has ended in the states ``completed``, ``failed`` and ``cancelled``."""
    total_documents: int
    """Number of documents of the job."""
    processed_documents: int
    """Documents that need no more work: embedded, unchanged, superseded, failed or cancelled."""
    error: str | None
    """The reason for a failure or, while the job runs, for a delay; null if there is none."""
    started_at: str | None
    """When the embedding began, as RFC 3339 in UTC; null before."""
    finished_at: str | None
    """When the job ended, as RFC 3339 in UTC; null before."""
    created_at: str = ""
    """When the gateway accepted the job, as RFC 3339 in UTC."""
    collection: str = DEFAULT_COLLECTION
    """Name of the collection."""
    unchanged_documents: int = 0
    """Documents that already existed with the same text and metadata, so that they need no new vector."""
    failed_documents: int = 0
    """Documents that could not be embedded."""
    failures: list[DocumentFailure] = []
    """The first failures, at most 100."""
    document_ids: list[str] | None = None
    """Only in the reply to an ingest: each document's id, in the order of the request, without those skipped."""
    truncated_documents: int = 0
    """Documents with a part that was not embedded: without chunking, texts longer than the model's limit."""
    unreadable_documents: int = 0
    """Documents with mostly unknown tokens (not in the model's vocabulary): only keyword search finds them."""
    cancelled_documents: int = 0
    """Documents that left unembedded because the job was cancelled."""
    documents_per_second: float | None = None
    """Documents embedded a second, from the start of the job until now or its end; null before the first."""
    seconds_left: float | None = None
    """Estimated seconds until the end, at that speed; null if it is unknown, the job waits or has ended."""
    skipped_documents: int = 0
    """Documents that were left out because they are not valid; ``total_documents`` does not count them."""
    skipped: list[SkippedDocument] | None = None
    """Only in the reply to an ingest with ``on_error`` ``skip``: the first of these documents, at most 100."""
    retried_at: str | None = None
    """When failed documents last began to wait again; null if none did."""


class IngestedFile(msgspec.Struct, frozen=True):
    """A file of an ingest and what became of it."""

    name: str
    """Name of the file."""
    documents: int
    """Number of its documents; 0 if it failed."""
    error: str | None = None
    """Why no document of the file was stored; null if they were."""


class FilesJob(Job, frozen=True, kw_only=True):
    """The reply to ``POST /v1/ingest/files``: the job of the documents, and the files in the order sent."""

    files: list[IngestedFile]
    """The files in the order sent."""


class RetriedJob(Job, frozen=True, kw_only=True):
    """The reply to ``POST /v1/jobs/{job_id}/retry``: the job, which goes on."""

    retried_documents: int
    """Failed documents that wait again, or that the retry of another job has embedded."""
    lost_documents: int
    """Failed documents that cannot be retried any more; ``failed_documents`` counts them still."""


class JobList(msgspec.Struct, frozen=True):
    """``GET /v1/jobs``: jobs, the newest first, without their failures."""

    jobs: list[Job]
    """Jobs, the newest first."""
    next_cursor: str | None = None
    """The ``cursor`` of the next page; null on the last one. A page may have few jobs and not be the last."""


class JobDocument(msgspec.Struct, frozen=True):
    """A document of a job."""

    id: str | None
    """Null for a skipped document that has no valid id."""
    status: JobDocumentStatus
    """What became of the document."""
    reason: str | None = None
    """Why it failed or was skipped, or why search finds it only in part; null if there is nothing to say."""


class JobDocumentList(msgspec.Struct, frozen=True):
    """``GET /v1/jobs/{job_id}/documents``: the documents of a job, in the order of its ingest."""

    documents: list[JobDocument]
    """Documents in the order of the ingest."""
    next_cursor: str | None = None
    """The ``cursor`` of the next page; null on the last one. A page may have few documents and not be the last."""
