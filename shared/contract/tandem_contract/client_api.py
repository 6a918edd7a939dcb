"""The gateway's client API: ingest, jobs, search, collections, health.

Requests refuse fields that they do not know, by name: a typo must not be silently ignored.
"""

from typing import Literal

import msgspec

DEFAULT_COLLECTION = "default"
DEFAULT_TOP_K = 5

MetadataValue = str | int | float | bool | None | list[str]
Metadata = dict[str, MetadataValue]

SearchMode = Literal["auto", "dense", "lexical"]
"""``dense`` compares vectors, ``lexical`` words; ``auto`` is dense, or lexical while no embedder answers."""
AnsweredBy = Literal["dense", "lexical"]

SearchWarning = Literal["unknown_tokens"]
"""``unknown_tokens``: the model does not know a part of the query; if that is most of it, ``auto`` answers by words."""

JobStatus = Literal["pending", "running", "completed", "failed"]


class DocumentInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as a client sends it; one without an id is given one."""

    text: str
    id: str | None = None
    metadata: Metadata = {}


class IngestRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/ingest``; a document whose id is there already replaces it."""

    documents: list[DocumentInput]
    collection: str = DEFAULT_COLLECTION


class DocumentFailure(msgspec.Struct, frozen=True):
    """A document of a job that could not be embedded, and why."""

    id: str
    error: str


class Job(msgspec.Struct, frozen=True):
    """An ingest and how far it is; times are RFC 3339 in UTC."""

    job_id: str
    status: JobStatus
    total_documents: int
    processed_documents: int
    """Documents that need no more work: embedded, unchanged, superseded or failed."""
    error: str | None
    """Why it failed or, while it runs, why it waits; null if all is well."""
    started_at: str | None
    finished_at: str | None
    created_at: str = ""
    collection: str = DEFAULT_COLLECTION
    unchanged_documents: int = 0
    """Documents that were there already with the same text and metadata, and were not embedded again."""
    failed_documents: int = 0
    failures: list[DocumentFailure] = []
    """The first failures, at most 100."""
    document_ids: list[str] | None = None
    """In the reply to an ingest: each document's id, in the order sent."""
    truncated_documents: int = 0
    """Documents that are longer than the model reads: search by meaning knows only their beginning."""
    unreadable_documents: int = 0
    """Documents most of whose tokens the model's vocabulary lacks: only search by words finds them."""


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/search``."""

    query: str
    top_k: int = DEFAULT_TOP_K
    collection: str = DEFAULT_COLLECTION
    mode: SearchMode = "auto"


class SearchHit(msgspec.Struct, frozen=True):
    """One result; ``score`` is the cosine similarity of query and document, or their BM25 score in a lexical search."""

    id: str
    score: float
    text: str
    metadata: msgspec.Raw
    """The metadata as JSON, just as stored."""


class SearchReply(msgspec.Struct, frozen=True):
    """Hits by descending score, and the milliseconds that the gateway took."""

    results: list[SearchHit]
    took_ms: float
    mode: AnsweredBy = "dense"
    """Which search found them, and what their scores therefore are."""
    degraded: bool = False
    """True if no embedder answered, and lexical search stood in for the dense one."""
    query_truncated: bool = False
    """True if the query is longer than the model reads: what is behind its limit did not count."""
    warnings: list[SearchWarning] = []


class ReceivedSearchHit(msgspec.Struct, frozen=True):
    """The reader's view of ``SearchHit``."""

    id: str
    score: float
    text: str
    metadata: Metadata = {}


class ReceivedSearchReply(msgspec.Struct, frozen=True):
    """The reader's view of ``SearchReply``."""

    results: list[ReceivedSearchHit]
    took_ms: float
    mode: str = "dense"
    degraded: bool = False
    query_truncated: bool = False
    warnings: list[str] = []


class StoredDocument(msgspec.Struct, frozen=True):
    """``GET /v1/collections/{collection}/documents/{id}``."""

    id: str
    text: str
    metadata: msgspec.Raw
    collection: str
    embedded: bool
    """False while a newer version of it waits to be embedded, or it was never embedded."""
    truncated: bool | None = None
    """Whether it is longer than the model reads; null while it waits, or if its embedder did not say."""
    unknown: float | None = None
    """Share of its tokens that the model's vocabulary lacks, from 0 to 1; null as above."""


class Collection(msgspec.Struct, frozen=True):
    """A collection; ``fingerprint``, ``model`` and ``dim`` are null until its first vector pins them."""

    name: str
    document_count: int
    """Documents that search can find."""
    pending_documents: int
    """Documents, or newer versions of them, that wait to be embedded."""
    fingerprint: str | None
    model: str | None
    dim: int | None


class CollectionList(msgspec.Struct, frozen=True):
    """``GET /v1/collections``."""

    collections: list[Collection]


class Deleted(msgspec.Struct, frozen=True):
    """The reply to a DELETE: whether there was anything to delete."""

    deleted: bool


class Probe(msgspec.Struct, frozen=True):
    """``GET /livez`` and ``GET /readyz``."""

    status: Literal["alive", "ready"]


class Health(msgspec.Struct, frozen=True):
    """``GET /healthz``.

    ``degraded`` while no embedder answers, or the last write failed; ``starting`` until the index is there; ``failed``
    if the store cannot be read.
    """

    status: Literal["ok", "degraded", "starting", "failed"]
    model_loaded: bool
    """Whether an embedder answers and is ready."""
    document_count: int
    pending_documents: int = 0
    model: str | None = None
    fingerprint: str | None = None
    version: str = ""
    detail: str | None = None
    """What is wrong, if anything is."""
