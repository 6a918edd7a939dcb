"""The gateway's records, as store, index and use cases pass them to each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from tandem_contract.service.memory import Lease


class Note(str):
    """A line about a start that tells of something done, and of no damage."""

    __slots__ = ()


SNAPSHOT_FORMAT = 2
"""1 had one graph, whose vectors were not searched for."""

Vectors = npt.NDArray[np.float32]
"""``(n, dim) float32``, L2-normalised rows."""

Keys = npt.NDArray[np.uint64]
"""``(n,) uint64``: row numbers of the store, which are the index's keys."""


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


class Coverage(msgspec.Struct, frozen=True, gc=False):
    """How much of a text its vector stands for."""

    truncated: bool = False
    """Whether the model saw only the text's beginning."""
    unknown: float = 0.0
    """Share of the tokens that the model's vocabulary lacks, from 0 to 1."""

    @property
    def unreadable(self) -> bool:
        """Whether the vector says little of the text: most of its tokens are unknown."""
        return self.unknown > _UNREADABLE_SHARE


_UNREADABLE_SHARE = 0.5
WHOLE = Coverage()
"""The model read all of the text."""


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


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a collection after a change number, up to and including ``upto``.

    Keys are never reused, so that removals and additions may be applied in any order, and again.
    """

    upto: int
    removed: Keys
    added: Keys
    vectors: Vectors
    complete: bool
    """False if more changes follow ``upto``."""


class Embeddings(msgspec.Struct, frozen=True):
    """An embedder's answer."""

    vectors: Vectors
    model: str
    fingerprint: str
    coverages: Sequence[Coverage] = ()
    """One a text; empty if the embedder does not say."""


ReplicaStatus = Literal["serving", "ejected", "draining"]
"""It takes calls; it is left out after failures; its name no longer leads to it, and what is in flight ends."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One embedder of a pool."""

    label: str
    status: ReplicaStatus
    in_flight: int
    fingerprint: str | None
    """Of its last answer."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool of embedders."""

    name: str
    replicas: list[ReplicaState]


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A search result; ``score`` is the cosine similarity, or of lexical search BM25; ``metadata`` is JSON text."""

    doc_id: str
    score: float
    text: str
    metadata: str


class Hits(list[Hit]):
    """Hits by descending score, with the lease on the memory that their texts take."""

    def __init__(self, hits: Iterable[Hit], lease: Lease | None = None) -> None:
        super().__init__(hits)
        # Goes with the hits: the memory is given back when the last holder forgets them.
        self._lease = lease


class SnapshotFile(msgspec.Struct, frozen=True):
    """One file of a snapshot."""

    name: str
    bytes: int
    sha256: str


class SnapshotManifest(msgspec.Struct, frozen=True):
    """What a snapshot holds, and of what."""

    format: int
    store_id: str
    collection_id: int
    collection: str
    fingerprint: str
    dim: int
    description: str
    """Library, version and parameters, see ``GraphFactory.description``."""
    position: int
    """Number of the last change that it holds."""
    count: int
    """Rows that it finds."""
    unproven: int
    """See ``index.base.Sweep.unproven``."""
    files: list[SnapshotFile]
    """The graphs, and last the arrays."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A collection whose index needs no change before ``position`` any more.

    ``graph`` tells whether there is a new snapshot; a collection without a graph has none.
    """

    collection_id: int
    position: int
    graph: bool
