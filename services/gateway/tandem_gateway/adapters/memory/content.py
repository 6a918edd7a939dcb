"""The content of a store in memory, and the steps of which its writes consist.

A document id has at most two versions in a collection. Search finds the live one. The pending one has passages without
a vector, and will replace the live one.
"""

import dataclasses
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.records.chunking import DEFAULT_CHUNKING, Chunking, Span
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.documents import CollectionRecord, DocumentView, IdempotencyKey, JobRecord, NewDocument
from tandem_gateway.records.job_documents import DocumentStatus, JobDocument, status_reason
from tandem_gateway.records.reembedding import SpaceModel


@dataclass(slots=True)
class Passage:
    """A span of a document's text in characters; ``stop`` is None for a span that reaches the end of the text."""

    passage_id: int
    start: int = 0
    stop: int | None = None
    vector: bytes | None = None
    """float32, little-endian; None until it is embedded."""
    coverage: Coverage | None = None
    change: int | None = None
    """Change number at which an index gets the vector; None until the document is live."""


@dataclass(frozen=True, slots=True)
class IndexedVector:
    """A vector that an index of its space holds; see ``Passage``."""

    vector: bytes
    coverage: Coverage | None
    change: int


@dataclass(slots=True)
class Second:
    """The second space of a collection; see ``Reembeddings``."""

    space_id: int
    model: SpaceModel
    vectors: dict[int, IndexedVector] = field(default_factory=dict)
    """Passage of a live document → vector."""
    truncated: int = 0


@dataclass(slots=True)
class Version:
    """A version of a document."""

    document: NewDocument
    passages: list[Passage]
    places: list[tuple[str, int]] = field(default_factory=list)
    """Job and place in it of each document that waits for this version, or did."""
    jobs: Counter[str] = field(default_factory=Counter)
    """Job → number of its documents that wait for this version."""
    failed_jobs: Counter[str] = field(default_factory=Counter)
    """Job → number of its documents for which this version failed, and which it may retry."""
    number: int = 0
    """Pending versions are embedded in the order of their numbers."""

    def wait(self, job_id: str, place: int) -> None:
        """Make a job wait for this version."""
        self.jobs[job_id] += 1
        self.places.append((job_id, place))

    def coverage(self) -> Coverage | None:
        """Return whether any passage is truncated and the largest share of unknown tokens; None if not known."""
        known = [passage.coverage for passage in self.passages if passage.coverage is not None]
        if not known:
            return None
        return Coverage(any(each.truncated for each in known), max(each.unknown for each in known))


@dataclass(slots=True)
class Collection:
    """A collection, the space that it serves from, and its second space."""

    collection_id: int
    name: str
    space_id: int
    fingerprint: str | None = None
    model: str | None = None
    dim: int | None = None
    live: dict[str, Version] = field(default_factory=dict)
    """Document id → live version."""
    pending: dict[str, Version] = field(default_factory=dict)
    """Document id → pending version, the oldest first."""
    removals: dict[int, int] = field(default_factory=dict)
    """Change number → removed passage."""
    last_change: int = 0
    followers: dict[str, int] = field(default_factory=dict)
    """Follower → change number up to which it needs no removals."""
    removal_floor: int = 0
    """Removals up to this change number were deleted."""
    chunking: Chunking | None = DEFAULT_CHUNKING
    language: str = DEFAULT_LANGUAGE
    second: Second | None = None
    truncated: int = 0
    """Of the space that serves, as in ``Second``."""

    def record(self) -> CollectionRecord:
        """Return the collection as the ports describe it."""
        return CollectionRecord(
            self.collection_id,
            self.name,
            self.space_id,
            self.fingerprint,
            self.model,
            self.dim,
            live=len(self.live),
            pending=len(self.pending),
            chunking=self.chunking,
            language=self.language,
        )

    def view(self, doc_id: str) -> DocumentView | None:
        """Return a document's newest version."""
        newest = self.pending.get(doc_id) or self.live.get(doc_id)
        if newest is None:
            return None
        document, embedded = newest.document, doc_id not in self.pending
        coverage = newest.coverage() if embedded else None
        return DocumentView(
            doc_id,
            document.text,
            document.metadata,
            embedded=embedded,
            coverage=coverage,
            source=document.source,
            source_hash=document.source_hash,
        )

    def pending_passage(self, passage_id: int) -> tuple[Version, Passage] | None:
        """Return a passage of a pending version, with the version."""
        for version in self.pending.values():
            for passage in version.passages:
                if passage.passage_id == passage_id:
                    return version, passage
        return None

    def live_passages(self) -> Iterator[tuple[Version, Passage]]:
        """Return the passages of live documents, with their versions."""
        return ((version, passage) for version in self.live.values() for passage in version.passages)

    def indexed(self, space_id: int) -> Iterator[tuple[Version, Passage, IndexedVector]]:
        """Return the passages that an index of a space of the collection holds, with their versions and vectors."""
        for version, passage in self.live_passages():
            if space_id == self.space_id:
                assert passage.vector is not None
                assert passage.change is not None
                yield version, passage, IndexedVector(passage.vector, passage.coverage, passage.change)
            elif self.second is not None and passage.passage_id in self.second.vectors:
                yield version, passage, self.second.vectors[passage.passage_id]

    def exchange(self, second: Second) -> None:
        """Serve from the second space, which has a vector of each live passage; the other becomes the second."""
        assert self.model is not None
        assert self.fingerprint is not None
        assert self.dim is not None
        old = Second(self.space_id, SpaceModel(self.model, self.fingerprint, self.dim), truncated=self.truncated)
        for version in self.pending.values():
            for passage in version.passages:
                passage.vector = passage.coverage = None
        for _, passage, vector in list(self.indexed(self.space_id)):
            old.vectors[passage.passage_id] = vector
            new = second.vectors[passage.passage_id]
            passage.vector, passage.coverage, passage.change = new.vector, new.coverage, new.change
        self.space_id, self.second, self.truncated = second.space_id, old, second.truncated
        self.model, self.fingerprint, self.dim = second.model.model, second.model.fingerprint, second.model.dim


@dataclass(frozen=True, slots=True)
class FailedVersion:
    """A version that failed, kept for a retry of its jobs."""

    collection: Collection
    version: Version
    failed_at: float


class Content:
    """Everything that a store holds. Hold ``lock`` during each access."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.store_id = secrets.token_hex(16)
        self.version = 0
        """Number of writes so far."""
        self.catalogue = 0
        """See ``ChangeLog.catalogue``."""
        self.change = 0
        """The highest change number."""
        self.collections: dict[str, Collection] = {}
        self.jobs: dict[str, JobRecord] = {}
        self.lists: dict[str, list[JobDocument]] = {}
        """Job → its documents, in the order of its ingest."""
        self.keys: dict[str, tuple[str, IdempotencyKey]] = {}
        """Idempotency key → the last job that was accepted with it."""
        self.failed: dict[tuple[int, str], FailedVersion] = {}
        """(Collection, document id) → its last version, which failed."""
        self._collections_made = 0
        self._versions_made = 0
        self._spaces_made = 0
        self.passages_made = 0

    def create(self, name: str) -> Collection:
        """Make an empty collection."""
        self._collections_made += 1
        self.catalogue += 1
        made = Collection(self._collections_made, name, self.new_space())
        made.followers[follower_of(made.space_id)] = 0
        self.collections[name] = made
        return made

    def new_space(self) -> int:
        """Return an id that no space ever had."""
        self._spaces_made += 1
        return self._spaces_made

    def new_version(self) -> int:
        """Return a number that no version ever had."""
        self._versions_made += 1
        return self._versions_made

    def failed_version(self, collection: Collection, version: Version) -> FailedVersion | None:
        """Return what is kept of a version; None if it is not kept."""
        found = self.failed.get((collection.collection_id, version.document.doc_id))
        return found if found is not None and found.version is version else None

    def supersede(self, collection: Collection, doc_id: str) -> None:
        """Drop the kept version of a document, because another write of the document follows it."""
        self.failed.pop((collection.collection_id, doc_id), None)

    def new_passage(self, start: int = 0, stop: int | None = None) -> Passage:
        """Return a passage with an id that no passage ever had."""
        self.passages_made += 1
        return Passage(self.passages_made, start, stop)

    def split(self, version: Version, passage: Passage, spans: Sequence[Span]) -> list[Passage]:
        """Divide a pending version, which is one passage, into several; return them, in order."""
        if len(spans) > 1:
            passage.start, passage.stop = spans[0]
            version.passages += [self.new_passage(*span) for span in spans[1:]]
        return version.passages

    def make_live(self, collection: Collection, version: Version) -> None:
        """Make a version live, of which each passage has a vector; it replaces the older live version."""
        doc_id = version.document.doc_id
        self.remove(collection, collection.live.get(doc_id))
        if collection.pending.get(doc_id) is version:
            del collection.pending[doc_id]
        collection.live[doc_id] = version
        for passage in version.passages:
            passage.change = self.next_change(collection)

    def replace_live(self, collection: Collection, live: Version, copy: Version) -> None:
        """Replace a live version by a copy with other passage ids, which keeps the vectors in both spaces."""
        second = collection.second
        known = [second.vectors.get(each.passage_id) if second is not None else None for each in live.passages]
        self.make_live(collection, copy)
        for passage, vector in zip(copy.passages, known, strict=True):
            if second is not None and vector is not None:
                change = self.next_change(collection)
                second.vectors[passage.passage_id] = dataclasses.replace(vector, change=change)

    def replace_pending(self, collection: Collection, old: Version, new: Version) -> None:
        """Put a pending version in the place of another, whose jobs then wait for it."""
        new.jobs, new.places, new.number = old.jobs, old.places, old.number
        collection.pending[new.document.doc_id] = new
        for passage in old.passages:
            collection.removals[self.next_change(collection)] = passage.passage_id

    def remove(self, collection: Collection, version: Version | None) -> None:
        """Remove a version, if there is one, and record the removal of each passage."""
        if version is None:
            return
        versions = collection.live if collection.live.get(version.document.doc_id) is version else collection.pending
        del versions[version.document.doc_id]
        for passage in version.passages:
            collection.removals[self.next_change(collection)] = passage.passage_id
            if collection.second is not None:
                collection.second.vectors.pop(passage.passage_id, None)

    def end_wait(
        self,
        version: Version,
        status: DocumentStatus,
        now: float,
        *,
        coverage: Coverage | None = None,
        started_at: float | None = None,
    ) -> None:
        """Count a version as processed in every job that waits for it, and record how it ended."""
        for job_id, documents in version.jobs.items():
            self.end(version, job_id, status)
            self.count(job_id, documents, now, coverage=coverage, failed=status == "failed", started_at=started_at)
        version.jobs.clear()

    def end(self, version: Version, job_id: str, status: DocumentStatus, reason: str | None = None) -> None:
        """Record how a version ended that a job waits for."""
        ended = JobDocument(version.document.doc_id, status, reason or status_reason(status))
        for job, place in version.places:
            if job == job_id:
                self.lists[job_id][place] = ended

    def count(
        self,
        job_id: str,
        documents: int,
        now: float,
        *,
        coverage: Coverage | None = None,
        unchanged: bool = False,
        failed: bool = False,
        cancelled: bool = False,
        started_at: float | None = None,
    ) -> None:
        """Count documents of a job as processed. The first start the job, the last finish it.

        Args:
            job_id: of the job.
            documents: how many; 0 finishes a job without documents.
            now: seconds since the epoch.
            coverage: of each of them; None if it is not known.
            unchanged: whether they had the same content already.
            failed: whether they failed.
            cancelled: whether they were cancelled.
            started_at: when their embedding began, in seconds since the epoch; None if it did not begin.
        """
        job = self.jobs[job_id]
        coverage = coverage or WHOLE
        if started_at is None and documents:
            started_at = now
        processed = job.processed + documents
        self.jobs[job_id] = dataclasses.replace(
            job,
            processed=processed,
            unchanged=job.unchanged + documents * unchanged,
            failed=job.failed + documents * failed,
            cancelled=job.cancelled + documents * cancelled,
            truncated=job.truncated + documents * coverage.truncated,
            unreadable=job.unreadable + documents * coverage.unreadable,
            started_at=started_at if job.started_at is None else job.started_at,
            finished_at=now if processed == job.total and job.finished_at is None else job.finished_at,
        )

    def next_change(self, collection: Collection) -> int:
        """Return the next change number, for a change of a collection."""
        self.change += 1
        collection.last_change = self.change
        return self.change


def follower_of(space_id: int) -> str:
    """Return the name under which the index of a space follows its collection's removals."""
    return f"space {space_id}"
