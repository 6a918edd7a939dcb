"""The gateway's client API: ingest, jobs, search, collections, health.

Requests refuse unknown fields and name them, so that a typo does not pass silently.
"""

from typing import Any, Literal

import msgspec

from tandem_contract.embed import TextFormat

DEFAULT_COLLECTION = "default"
DEFAULT_TOP_K = 5

FlatValue = str | int | float | bool | None | list[str | int | float]
# The depth is written out: msgspec refuses a deeper object and names its place, and the schema shows the limit.
MetadataValue = FlatValue | dict[str, FlatValue | dict[str, FlatValue | dict[str, FlatValue]]]
Metadata = dict[str, MetadataValue]
"""Field → value. Objects are nested at most ``METADATA_DEPTH`` deep, the metadata itself included."""
METADATA_DEPTH = 4

Filter = dict[str, Any]
"""Conditions on metadata, such as ``{"year": {"$gte": 1960}, "lang": "en"}``; docs/api.md has the language."""

SearchMode = Literal["auto", "hybrid", "dense", "lexical"]
"""``dense``: vector search. ``lexical``: keyword search. ``hybrid``: both, fused; it fails if one of them cannot
answer. ``auto``: hybrid, or one of the two if the other cannot answer."""
AnsweredBy = Literal["hybrid", "dense", "lexical"]

FusionMethod = Literal["relative", "rrf", "dbsf"]
"""How hybrid search makes one ranking of two. ``relative``: the scores of each ranking from 0 to 1. ``rrf``: reciprocal
rank fusion. ``dbsf``: distribution-based score fusion."""

HitField = Literal["text", "metadata", "passage", "vector"]
"""A part of a hit that a search may ask for or leave out. A hit has all of them but ``vector`` unless it is asked."""

SearchWarning = Literal["unknown_tokens", "only_exclusions", "group_limit"]
"""``unknown_tokens``: the model does not know a part of the query. If that is the larger part, ``auto`` runs a keyword
search. ``only_exclusions``: the query says only what to leave out (``-word``), so that nothing can match.
``group_limit``: a search with ``group_by`` looked at its maximum number of documents, so there may be more groups."""

Highlights = list[tuple[int, int]]
"""Start and end of each matched word."""

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
    id: str | int | None = None
    """A whole number stands for its text: 1 is the document "1"."""
    metadata: Metadata = {}
    format: TextFormat = "text"
    """``markdown``: headings and blocks decide where passages begin."""
    source: str | None = None
    """Name of the source that the document belongs to; see ``SourceList``."""
    hash: str | None = None
    """The client's hash of the document, which changes when the document does; only with a source."""


class IngestRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/ingest``; a document replaces an existing one with the same id."""

    documents: list[DocumentInput]
    collection: str = DEFAULT_COLLECTION
    on_error: OnError = "reject"


class DocumentFailure(msgspec.Struct, frozen=True):
    """A document that could not be embedded, and the reason."""

    id: str
    error: str


class SkippedDocument(msgspec.Struct, frozen=True):
    """A document of an ingest that was left out because it is not valid."""

    index: int
    """Its position in the request, from 0."""
    id: str | None
    """Null if it has none that is valid."""
    param: str
    """Path of the field that is not valid, such as ``documents[3].text``."""
    message: str


class Job(msgspec.Struct, frozen=True):
    """An ingest and its progress; times are RFC 3339 in UTC."""

    job_id: str
    status: JobStatus
    total_documents: int
    processed_documents: int
    """Documents that need no more work: embedded, unchanged, superseded, failed or cancelled."""
    error: str | None
    """The reason for a failure or, while the job runs, for a delay; null if there is none."""
    started_at: str | None
    finished_at: str | None
    created_at: str = ""
    collection: str = DEFAULT_COLLECTION
    unchanged_documents: int = 0
    """Documents that already existed with the same text and metadata, so that they need no new vector."""
    failed_documents: int = 0
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


class IngestedFile(msgspec.Struct, frozen=True):
    """A file of an ingest and what became of it."""

    name: str
    documents: int
    """Number of its documents; 0 if it failed."""
    error: str | None = None
    """Why no document of the file was stored; null if they were."""


class FilesJob(Job, frozen=True, kw_only=True):
    """The reply to ``POST /v1/ingest/files``: the job of the documents, and the files in the order sent."""

    files: list[IngestedFile]


class JobList(msgspec.Struct, frozen=True):
    """``GET /v1/jobs``: jobs, the newest first, without their failures."""

    jobs: list[Job]
    next_cursor: str | None = None
    """The ``cursor`` of the next page; null on the last one. A page may have few jobs and not be the last."""


class JobDocument(msgspec.Struct, frozen=True):
    """A document of a job."""

    id: str | None
    """Null for a skipped document that has no valid id."""
    status: JobDocumentStatus
    reason: str | None = None
    """Why it failed or was skipped, or why search finds it only in part; null if there is nothing to say."""


class JobDocumentList(msgspec.Struct, frozen=True):
    """``GET /v1/jobs/{job_id}/documents``: the documents of a job, in the order of its ingest."""

    documents: list[JobDocument]
    next_cursor: str | None = None
    """The ``cursor`` of the next page; null on the last one. A page may have few documents and not be the last."""


class FusionWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the two rankings, from 0 to 1000; only their ratio matters, and one has to be above 0."""

    dense: float
    lexical: float


class FusionInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hybrid search fuses its two rankings."""

    method: FusionMethod = "relative"
    weights: FusionWeights | None = None
    """Without weights, ``relative`` takes 0.4 and 0.6; the others weight both rankings alike."""
    k: int | msgspec.UnsetType = msgspec.UNSET
    """Constant of ``rrf``, from 1 to 1000: the larger, the less the first ranks stand out; 60 if it is missing."""


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/search``."""

    query: str
    top_k: int = DEFAULT_TOP_K
    collection: str = DEFAULT_COLLECTION
    mode: SearchMode = "auto"
    fusion: FusionMethod | FusionInput | None = None
    """Only with the modes ``hybrid`` and ``auto``."""
    offset: int = 0
    """Number of hits to skip: the hits of a search are the first ``top_k`` after these."""
    min_score: float | None = None
    """Lowest cosine similarity of a hit, from -1 to 1; not with the mode ``lexical``."""
    filter: Filter | None = None
    """Conditions on the metadata of the hits."""
    highlight: bool = False
    """Whether each hit tells where the words of the query are; see ``SearchHit.highlights``."""
    include: tuple[HitField, ...] = ()
    """Parts of a hit that the reply has besides the usual ones: ``vector``."""
    exclude: tuple[HitField, ...] = ()
    """Parts of a hit that the reply leaves out."""
    explain: bool = False
    """Whether the reply tells how the search came to it."""
    diversity: float = 0.0
    """From 0 to 1: how much the hits are to differ from each other. 0 leaves them in the order of their scores."""
    group_by: str | None = None
    """A metadata field; the hits are the best of each of its values. A document without it is always a hit."""


class HitScores(msgspec.Struct, frozen=True):
    """The scores that vector search and keyword search gave a document; null if one did not find it."""

    dense: float | None
    """Cosine similarity of query and document."""
    lexical: float | None
    """BM25 score."""


class HitPassage(msgspec.Struct, frozen=True):
    """The passage of a document that matches a search best."""

    text: str
    start: int
    """Offset of its first character in the document's text, in code points."""
    end: int
    """Offset after its last character."""
    index: int
    """Its position among the document's passages, from 0."""
    highlights: Highlights | msgspec.UnsetType = msgspec.UNSET
    """As in ``SearchHit``, with offsets in the passage's text."""


class HitPlace(msgspec.Struct, frozen=True):
    """A hit's place in the ranking of one search."""

    rank: int
    """From 1."""
    score: float
    """Cosine similarity or BM25 score."""
    part: float | None
    """What the hit's fused score has of this ranking; null without fusion."""


class HitExplanation(msgspec.Struct, frozen=True):
    """A hit's places in both rankings; null for a search that did not find it."""

    dense: HitPlace | None
    lexical: HitPlace | None


class StageTimes(msgspec.Struct, frozen=True):
    """Milliseconds of each stage; null for a stage that did not run. Vector search and keyword search overlap."""

    filter: float | None = None
    """Finding the documents that match the filter."""
    queue: float | None = None
    """Waiting for a call to the embedder."""
    embed: float | None = None
    """That call."""
    index: float | None = None
    """Vector index."""
    words: float | None = None
    """Keyword index."""
    fetch: float | None = None
    """Reading the documents of the hits."""


class CandidateCounts(msgspec.Struct, frozen=True):
    """Numbers of documents; null for a stage that did not run."""

    filter: int | None
    """That match the filter."""
    dense: int | None
    """That vector search found."""
    lexical: int | None
    """That keyword search found."""


class SearchExplanation(msgspec.Struct, frozen=True):
    """How a search came to its reply."""

    stages_ms: StageTimes
    candidates: CandidateCounts
    attempts: int
    """More than 1 if the store changed during the search, which then began again; the times are of all attempts."""


class SearchHit(msgspec.Struct, frozen=True):
    """One result.

    ``score`` is the cosine similarity of query and document in vector search, the BM25 score in keyword search, and a
    number from 0 to 1 in hybrid search.
    """

    id: str
    score: float
    text: str | msgspec.UnsetType = msgspec.UNSET
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The metadata as JSON, unchanged from the store."""
    scores: HitScores | None = None
    passage: HitPassage | msgspec.UnsetType | None = None
    highlights: Highlights | msgspec.UnsetType = msgspec.UNSET
    """Start and end of each matched word in ``text``, in code points, the end excluded, ascending; at most 100. Absent
    unless the search asks for it."""
    vector: list[float] | msgspec.UnsetType | None = msgspec.UNSET
    """The vector of the passage that matches best, of unit length; null if the document has none yet."""
    explain: HitExplanation | msgspec.UnsetType = msgspec.UNSET


class SearchReply(msgspec.Struct, frozen=True):
    """Hits by descending score, and the milliseconds that the gateway took."""

    results: list[SearchHit]
    took_ms: float
    mode: AnsweredBy = "dense"
    """The search that found the hits, and so the meaning of their scores."""
    degraded: bool = False
    """True if ``auto`` answered by one search alone, because the other could not answer. ``mode`` names it."""
    query_truncated: bool = False
    """True if the query is longer than the model's limit: the search ignored the text after the limit."""
    warnings: list[SearchWarning] = []
    explain: SearchExplanation | msgspec.UnsetType = msgspec.UNSET


class SearchBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/search/batch``."""

    searches: list[SearchRequest]


class SearchBatchReply(msgspec.Struct, frozen=True):
    """The reply to each search, in order, and the milliseconds that the gateway took for all of them."""

    replies: list[SearchReply]
    took_ms: float


class SimilarRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/search/similar``; it takes either ``document_id`` or ``vector``. The reply is a ``SearchReply``."""

    document_id: str | None = None
    """The hits are the documents nearest to this one, without itself. The first passage of a text stands for it."""
    vector: list[float] | None = None
    """The hits are the documents nearest to this vector of the collection's dimension; its length does not matter."""
    top_k: int = DEFAULT_TOP_K
    collection: str = DEFAULT_COLLECTION
    offset: int = 0
    min_score: float | None = None
    filter: Filter | None = None
    include: tuple[HitField, ...] = ()
    exclude: tuple[HitField, ...] = ()
    """As in ``SearchRequest``."""


class ReceivedSearchHit(msgspec.Struct, frozen=True):
    """The reader's view of ``SearchHit``."""

    id: str
    score: float
    text: str = ""
    metadata: Metadata = {}
    scores: HitScores | None = None
    passage: HitPassage | None = None
    highlights: Highlights | msgspec.UnsetType = msgspec.UNSET
    """Start and end of each matched word in ``text``, in code points, the end excluded, ascending; at most 100. Absent
    unless the search asks for it."""
    vector: list[float] | msgspec.UnsetType | None = msgspec.UNSET


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
    """False if the newest version of the document has no vector yet."""
    truncated: bool | None = None
    """Whether the text is longer than the model's limit; null without a vector, or if the embedder did not say."""
    unknown: float | None = None
    """Share of the text's tokens that the model's vocabulary lacks, from 0 to 1; null as above."""


class DocumentPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PATCH /v1/collections/{collection}/documents/{document_id}``: a JSON Merge Patch (RFC 7396) of the metadata.

    A null removes a key, an object is merged into the value of its key, and any other value replaces it.
    """

    metadata: Metadata


class DocumentList(msgspec.Struct, frozen=True):
    """``GET /v1/collections/{collection}/documents``: documents in the order of their ids."""

    documents: list[StoredDocument]
    next_cursor: str | None = None
    """The ``cursor`` of the next page; null on the last one. A page may have few documents and not be the last."""


class DocumentIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/collections/{collection}/documents/get``."""

    ids: list[str]


class FoundDocuments(msgspec.Struct, frozen=True):
    """The documents with the ids asked for, in that order, and the ids that no document has."""

    documents: list[StoredDocument]
    missing: list[str]


class DocumentDeletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/collections/{collection}/documents/delete``; it takes either ``ids`` or ``filter``."""

    ids: list[str] | None = None
    filter: Filter | None = None


class DeletedDocuments(msgspec.Struct, frozen=True):
    """How many documents were deleted."""

    deleted_documents: int


class FacetsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/collections/{collection}/facets``."""

    fields: list[str]
    filter: Filter | None = None
    """Only documents that match count."""
    limit: int = 10
    """Maximum number of values of a field."""


class FacetValue(msgspec.Struct, frozen=True):
    """A value, with the number of documents that have it."""

    value: str | int | float | bool | None
    count: int


class Facet(msgspec.Struct, frozen=True):
    """The most frequent values of a field."""

    values: list[FacetValue]
    other_count: int
    """Sum of the counts of the values that are not in ``values``."""


class FacetsReply(msgspec.Struct, frozen=True):
    """How many documents match, and the facet of each field."""

    documents: int
    facets: dict[str, Facet]


class SourceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document of a source: its id, and a hash that changes when the document does."""

    id: str | int
    hash: str


class SourceList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PUT /v1/collections/{collection}/sources/{source}``: all documents that the source has."""

    documents: list[SourceEntry]


class SourceReply(msgspec.Struct, frozen=True):
    """How a source differs from its documents: the client ingests those that are missing or changed."""

    missing: list[str]
    """Ids that no document of the source has."""
    changed: list[str]
    """Ids of documents that have another hash, or none."""
    deleted_documents: int
    """Number of documents that were deleted, because the source has them no more."""


class ChunkingSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long texts are split into passages, which are embedded one by one; see ``tandem_contract.embed.Chunking``."""

    max_tokens: int | None = None
    """Maximum length of a passage in tokens, from 32 to the model's limit; null for the model's limit."""
    overlap_tokens: int | None = None
    """Tokens that a passage may repeat of the one before, at most half of ``max_tokens``; null for a tenth of it."""


class CollectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PUT /v1/collections/{collection}``; a setting that is missing stays as it is, or gets its default."""

    chunking: ChunkingSetting | msgspec.UnsetType | None = msgspec.UNSET
    """Null to embed each text as a whole, cut at the model's limit. It can change only while there are no documents."""


class Collection(msgspec.Struct, frozen=True):
    """A collection; ``fingerprint``, ``model`` and ``dim`` are null until its first vector pins them."""

    name: str
    document_count: int
    """Documents that search can find."""
    pending_documents: int
    """Documents, or newer versions of documents, that have no vector yet."""
    fingerprint: str | None
    model: str | None
    dim: int | None
    chunking: ChunkingSetting | None = None
    """Null if each text is embedded as a whole."""


class CollectionList(msgspec.Struct, frozen=True):
    """``GET /v1/collections``."""

    collections: list[Collection]


ReembedStatus = Literal["filling", "ready", "switched"]
"""``filling``: passages miss vectors of the new model. ``ready``: all have one. ``switched``: searches use them, and
the old vectors are kept."""


class Reembedding(msgspec.Struct, frozen=True):
    """``/v1/collections/{collection}/reembed``: the vectors that a collection has beside those that serve.

    Before the switch they are those of the new model, after it those of the old one.
    """

    collection: str
    status: ReembedStatus
    fingerprint: str
    """Of the model of these vectors."""
    model: str
    serving_fingerprint: str
    """Of the model whose vectors serve."""
    serving_model: str
    total_passages: int
    """Passages of the documents that search can find."""
    embedded_passages: int
    """How many of them have one of these vectors."""
    truncated_passages: int
    """Passages of which the model read only the beginning, also such as are gone by now."""
    failed_passages: int = 0
    """Passages that the model refused; tried again after minutes."""
    error: str | None = None
    """Why passages get no vectors; null if nothing is wrong."""


class SpaceOverlap(msgspec.Struct, frozen=True):
    """``GET /v1/collections/{collection}/reembed/overlap``: how alike searches with both kinds of vectors are."""

    collection: str
    queries: int
    """Number of searches that were compared; each looks for the documents nearest to a stored document."""
    top_k: int
    """How many of the nearest documents are compared."""
    overlap: float | None
    """Mean share of them that both kinds of vectors find, from 0 to 1; null if nothing could be compared."""


class Deleted(msgspec.Struct, frozen=True):
    """The reply to a DELETE: whether there was anything to delete."""

    deleted: bool


class Probe(msgspec.Struct, frozen=True):
    """``GET /livez`` and ``GET /readyz``."""

    status: Literal["alive", "ready"]


class About(msgspec.Struct, frozen=True):
    """``GET /``, for a person who opens the gateway's address."""

    service: Literal["tandem-gateway"]
    version: str
    docs: str
    """Path of the page that shows the API."""


class Health(msgspec.Struct, frozen=True):
    """``GET /healthz``.

    ``degraded`` while no embedder answers, or after a failed write; ``starting`` until the index is loaded; ``failed``
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
    """The fault, if there is one."""
