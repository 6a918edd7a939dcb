"""Documents, collections and jobs on their way into the store and out of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from tandem_contract.service.memory import Lease
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.coverage import Coverage


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A valid document on its way into the store; ``metadata`` is JSON text."""

    doc_id: str
    text: str
    metadata: str
    content_hash: bytes
    """Hash of text and metadata: equal content under the same id is not embedded again."""


class NewDocuments(list[NewDocument]):
    """The documents of one ingest, with the lease on the memory that they take."""

    def __init__(self, documents: Iterable[NewDocument], lease: Lease | None = None) -> None:
        super().__init__(documents)
        # Goes with the documents: a write that its caller no longer waits for still holds both.
        self._lease = lease


@dataclass(frozen=True, slots=True)
class PendingDocument:
    """A stored document that has no vector yet."""

    row_id: int
    text: str


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """Documents of one collection to be embedded together; empty if nothing waits."""

    collection_id: int
    collection: str
    documents: list[PendingDocument]
    fingerprint: str | None = None
    """Of the model that the collection is pinned to; None before its first vector."""


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """The vectors of a pending batch: row i of ``vectors`` belongs to ``row_ids[i]``."""

    collection_id: int
    row_ids: list[int]
    vectors: Vectors
    model: str
    fingerprint: str
    started_at: float
    """When the batch was sent to the embedder; seconds since the epoch."""
    coverages: Sequence[Coverage] = ()
    """One a row; empty if the embedder does not say."""


class LiveDocument(msgspec.Struct, frozen=True):
    """A document with its vector, as a search hit needs it; ``vector`` is float32, little-endian."""

    row_id: int
    doc_id: str
    text: str
    metadata: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class DocumentView:
    """The newest version of a document; ``embedded`` tells whether search already finds this version."""

    doc_id: str
    text: str
    metadata: str
    embedded: bool
    coverage: Coverage | None = None
    """Of the newest version; None while it waits, or if its embedder did not say."""


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection; model, fingerprint and dim are None until its first vector pins them."""

    collection_id: int
    name: str
    fingerprint: str | None
    model: str | None
    dim: int | None
    live: int
    pending: int


@dataclass(frozen=True, slots=True)
class JobRecord:
    """An ingest; times are seconds since the epoch."""

    job_id: str
    collection: str
    total: int
    processed: int
    unchanged: int
    failed: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    truncated: int = 0
    """Documents whose vector stands for their beginning only."""
    unreadable: int = 0
    """See ``Coverage.unreadable``."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """(document id, error), the first 100."""
