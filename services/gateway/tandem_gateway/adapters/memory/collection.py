"""A collection in memory: its documents, with their versions, passages and vectors.

A document id has at most two versions in a collection. Search finds the live one. The pending one has passages without
a vector, and will replace the live one.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.records.chunking import DEFAULT_CHUNKING, Chunking
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import CollectionRecord, DocumentView, NewDocument
from tandem_gateway.records.engines import OWN_ENGINE
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
    engine: str = OWN_ENGINE
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
            engine=self.engine,
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


def follower_of(space_id: int) -> str:
    """Return the name under which the index of a space follows its collection's removals."""
    return f"space {space_id}"


def with_source_of(document: NewDocument, other: NewDocument) -> NewDocument:
    """Return a document that has the source of another."""
    return dataclasses.replace(document, source=other.source, source_hash=other.source_hash)
