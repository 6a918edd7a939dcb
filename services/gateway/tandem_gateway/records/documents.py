"""Documents, collections and jobs, as they go into the store and come out of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.errors import Conflict
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.chunking import Chunking, Span, Split, TextFormat
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.engines import OWN_ENGINE
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_runtime.memory import Lease

JobState = Literal["pending", "running", "completed", "failed", "cancelled"]
JobPosition = tuple[float, str]
"""Creation time of a job, in seconds since the epoch, and its id."""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A validated document that the store has not accepted yet; ``metadata`` is JSON text."""

    doc_id: str
    text: str
    metadata: str
    content_hash: bytes
    """Hash of text, metadata and format. The store uses it to skip unchanged documents."""
    given_id: bool = True
    """Whether the client gave the id; a random one otherwise."""
    format: TextFormat = "text"
    source: str | None = None
    """Name of the source that the document belongs to."""
    source_hash: str | None = None
    """The client's hash of the document in its source."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The content of one version of a document; ``metadata`` is JSON text."""

    doc_id: str
    text: str
    metadata: str
    format: TextFormat


class NewDocuments(list[NewDocument]):
    """The documents of one ingest, with a lease on the memory that they take.

    Attributes:
        skipped: the documents that were left out because they are not valid; None if the ingest had none left out, but
            is refused for such a document.
    """

    def __init__(
        self,
        documents: Iterable[NewDocument],
        lease: Lease | None = None,
        skipped: Sequence[SkippedDocument] | None = None,
    ) -> None:
        super().__init__(documents)
        self.skipped = skipped
        # The lease lives as long as the documents: a write may outlast the request that waited for it.
        self._lease = lease


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's name for one ingest, so that the ingest can be sent again without a second effect."""

    key: str
    request_hash: bytes
    """Hash of what the client sent; the same key with another hash is a conflict."""


@dataclass(frozen=True, slots=True)
class PendingPassage:
    """A passage of a pending document that has no vector yet, with its text."""

    passage_id: int
    text: str
    attempts: int = 0
    """Number of earlier attempts that ended badly; see ``EmbeddingQueue``."""
    damaged: bool = False
    """Whether the stored document is not what was accepted; the text is then empty."""
    job: str | None = None
    """Id of a job that waits for the document; the first in order if several do."""


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """Passages of one collection, to be embedded in one call; at least one.

    With ``split``, each of them is a whole text that is to be split. Otherwise each is embedded as it is.
    """

    collection_id: int
    collection: str
    passages: list[PendingPassage]
    fingerprint: str | None = None
    """Model that the collection is pinned to; None before its first vector."""
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """The vectors of a pending batch: row i of ``vectors`` belongs to ``passage_ids[i]``.

    If the texts were split, each has as many rows as spans, one after the other.
    """

    collection_id: int
    passage_ids: list[int]
    vectors: Vectors
    model: str
    fingerprint: str
    started_at: float
    """When the gateway sent the batch to the embedder; seconds since the epoch."""
    coverages: Sequence[Coverage] = ()
    """One per row; empty if the embedder does not report coverage."""
    spans: Sequence[Sequence[Span]] | None = None
    """For each of ``passage_ids`` the passages into which the text was split, at least one; None if none was split."""

    def texts(self) -> Iterator[tuple[int, Sequence[Span], range]]:
        """Return for each passage its id, its spans (none if no text was split) and its rows."""
        row = 0
        for place, passage_id in enumerate(self.passage_ids):
            spans = self.spans[place] if self.spans is not None else ()
            rows = range(row, row + (len(spans) or 1))
            row = rows.stop
            yield passage_id, spans, rows


@dataclass(frozen=True, slots=True)
class DocumentView:
    """The newest version of a document; ``embedded`` is true once search finds this version."""

    doc_id: str
    text: str
    metadata: str
    embedded: bool
    coverage: Coverage | None = None
    """Coverage of the newest version; None while it is pending or if the embedder did not report it."""
    source: str | None = None
    """Name of the source that the newest version belongs to; None without one."""
    source_hash: str | None = None
    """The client's hash of the document in its source; None without one."""


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some documents of a collection in the order of their ids; ``after`` is None at the end of the collection.

    Otherwise the next page begins after the id ``after``, which need not be one of these documents.
    """

    documents: list[DocumentView]
    after: str | None


@dataclass(frozen=True, slots=True)
class MetadataPage:
    """The metadata of some documents of a collection, JSON text, in the order of their ids; ``after`` as above."""

    metadata: list[str]
    after: str | None


@dataclass(frozen=True, slots=True)
class IdPage:
    """The ids of some documents of a collection, in order; ``after`` as in ``DocumentPage``."""

    ids: list[str]
    after: str | None


@dataclass(frozen=True, slots=True)
class Deletions:
    """How many of the ids given were dealt with, from the first, and how many documents were deleted."""

    done: int
    deleted: int


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection and the space that it serves from.

    The space's first vector pins model, fingerprint and dim; until then they are None.
    """

    collection_id: int
    name: str
    space_id: int
    fingerprint: str | None
    model: str | None
    dim: int | None
    live: int
    pending: int
    chunking: Chunking | None = None
    """How texts are split into passages; None if each text is one passage."""
    language: str = DEFAULT_LANGUAGE
    """Language of the stems in keyword search; see ``analysis.terms.LANGUAGES``."""
    engine: str = OWN_ENGINE
    """Where vector search finds the vectors; see ``records.engines``."""


class CollectionChange(msgspec.Struct, frozen=True):
    """Settings of a collection to be set; those that are UNSET stay as they are, or get their default."""

    chunking: Chunking | msgspec.UnsetType | None = msgspec.UNSET
    language: str | msgspec.UnsetType = msgspec.UNSET
    engine: str | msgspec.UnsetType = msgspec.UNSET

    def check(self, record: CollectionRecord) -> None:
        """Check that a collection may get these settings.

        Raises:
            Conflict: it has documents that were split in another way, or whose vectors are in another engine.
        """
        if self.chunking not in (msgspec.UNSET, record.chunking) and record.live + record.pending:
            raise Conflict(
                f"chunking: collection {record.name!r} has documents that were split by its present setting; "
                "delete them first, or use another collection",
                param="chunking",
            )
        if self.engine not in (msgspec.UNSET, record.engine) and record.live + record.pending:
            raise Conflict(
                f"engine: collection {record.name!r} has documents whose vectors are in {record.engine!r}; "
                "delete them first, or use another collection",
                param="engine",
            )


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
    """Documents for which ``Coverage.truncated`` is true."""
    unreadable: int = 0
    """Documents for which ``Coverage.unreadable`` is true."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of document id and error; at most the first 100."""
    cancelled: int = 0
    """Documents that left unembedded because the job was cancelled."""
    skipped: int = 0
    """Documents that were left out because they are not valid; ``total`` does not count them."""
    retried_at: float | None = None
    """When failed documents began to wait again; None if none did."""

    @property
    def state(self) -> JobState:
        """What the job does, or how it ended."""
        if self.finished_at is None:
            return "pending" if self.started_at is None else "running"
        if self.failed:
            return "failed"
        return "cancelled" if self.cancelled else "completed"

    @property
    def position(self) -> JobPosition:
        """Place of the job in the list of all jobs."""
        return self.created_at, self.job_id


@dataclass(frozen=True, slots=True)
class JobRetry:
    """A job whose failed documents wait again."""

    job: JobRecord
    retried: int
    """Documents that wait again, or that the retry of another job has embedded since."""
    lost: int
    """Failed documents that cannot be retried any more; ``job.failed`` counts them still."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list has; None for any."""

    state: JobState | None = None
    collection: str | None = None
    begin: str = ""
    """Begin of the job's id."""

    def matches(self, job: JobRecord) -> bool:
        """Return whether a job belongs to the list."""
        return (
            self.state in (None, job.state)
            and self.collection in (None, job.collection)
            and job.job_id.startswith(self.begin)
        )


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, the newest first."""

    jobs: list[JobRecord]
    before: JobPosition | None
    """The position at which the next page goes on; None on the last page."""
