"""What the use cases need from the world; adapters provide it, tests put fakes in its place.

Narrow on purpose: nothing behind ``DocumentStore`` is known to be SQL, nothing behind ``Graph`` to be usearch. The
index is a cache which follows the store by change number, through ``ChangeFeed``.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tandem_contract.embed import Kind, Priority
from tandem_gateway.model import (
    Changes,
    CollectionRecord,
    DocumentView,
    EmbeddedBatch,
    Embeddings,
    Hit,
    JobRecord,
    Keys,
    LiveDocument,
    NewDocument,
    PendingBatch,
    PoolState,
    Saved,
    SnapshotManifest,
    Vectors,
)


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def replicas(self) -> int:
        """How many take calls now, 1 at the least: what one of them can do at a time, so many can do so often."""
        ...

    async def embed(
        self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float, fingerprint: str | None = None
    ) -> Embeddings:
        """Return one vector a text, in order.

        Args:
            texts: at least one.
            kind: document or query; a model may treat them differently.
            priority: lane of the embedder's queue.
            timeout: seconds after which the call ends, whatever happens.
            fingerprint: of the model that is wanted, where that is one and known. It is a wish: the answer's own
                fingerprint says what came.

        Raises:
            EmbedderError: unavailable, rejected or broken, see ``tandem_gateway.errors``.
            Overloaded: the embedder's queue is full.
            DeadlineExceeded: the time is over.
        """
        ...

    async def ready(self, *, timeout: float) -> bool:
        """Return whether an embedder answers within ``timeout`` seconds and says that it is ready."""
        ...


class EmbedderPool(Embedder, Protocol):
    """Embedders that stand in for each other."""

    @property
    def up(self) -> bool:
        """Whether any of them is believed to answer."""
        ...

    def serves(self, fingerprint: str) -> bool:
        """Return whether one that takes calls is known to have the model of that fingerprint."""
        ...

    def state(self) -> PoolState:
        """Return how the pool and each of its replicas is."""
        ...

    async def follow_names(self) -> None:
        """Keep the replicas what the pool's names lead to; runs for ever, or ends if there is no name."""
        ...


class DocumentStore(Protocol):
    """The truth: documents, jobs and collections. What a method returned from is on disk.

    Every method may raise StorageUnavailable and StorageCorrupt; those that write, Overloaded.
    """

    @property
    def write_failure(self) -> str | None:
        """Why the last write failed, if it did: the disk is full, or whatever else keeps writes from it."""
        ...

    async def accept(self, job_id: str, collection: str, documents: Sequence[NewDocument], now: float) -> JobRecord:
        """Store documents to be embedded, and a job that counts them.

        A document whose newest version has the same content counts as unchanged at once. One whose id has an older
        version replaces it when its own vector is there; until then search finds the older.

        Raises:
            InvalidRequest: if the collection is new and there are as many as allowed already.
            Overloaded: if too many documents wait to be embedded.
        """
        ...

    async def pending(self, *, after: int, limit: int, without: Collection[int]) -> PendingBatch:
        """Return up to ``limit`` documents without a vector, of one collection, with row numbers over ``after``.

        They are fewer if their texts would make a body larger than an embedder takes.

        Args:
            after: row number to start behind.
            limit: documents at the most.
            without: ids of collections to pass over.
        """
        ...

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Give documents their vectors and return how many; one replaced or deleted meanwhile is passed over.

        Raises:
            FingerprintMismatch: if the collection's vectors are of another fingerprint; nothing is written.
        """
        ...

    async def fail(self, row_id: int, error: str) -> None:
        """Give up a pending document: it leaves the store, its jobs name it and why."""
        ...

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document in all its versions, and return whether there was one."""
        ...

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection with all its documents, and return whether there was one."""
        ...

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return a document's newest version."""
        ...

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        ...

    async def collections(self) -> list[CollectionRecord]:
        """Return every collection, by name."""
        ...

    async def forget_tombstones(self, collection_id: int, upto: int) -> int:
        """Drop the traces of removals up to a change number which the collection's snapshot has reached."""
        ...

    async def forget_jobs(self, before: float) -> int:
        """Drop jobs that finished before ``before`` (seconds since the epoch), and those over the store's limit.

        Returns:
            How many were dropped. Jobs that are not finished stay.
        """
        ...


class LexicalIndex(Protocol):
    """Finds documents by their words, without an embedder; a cache that follows the store by itself."""

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        """Return the documents that have words of the query, by descending BM25 score, with a lease on their memory.

        ``tandem_gateway.analysis`` says what a word is. Scores are positive, and comparable among the hits of one
        search only. Of hits with the same score the one that was stored first comes first. Besides the documents that
        have a vector it finds those that wait for their first; of a document whose newer version waits, the older, as
        dense search does. A query without a word has no hits.

        Args:
            collection: its name.
            query: what a person typed; nothing in it is syntax.
            top_k: hits at the most.
            timeout: seconds after which the search ends, whatever happens.

        Raises:
            NotFound: if there is no such collection.
            NotReady: while the index is being built.
            InvalidRequest: the documents found have more bytes than an answer may have.
            Overloaded: if as many searches as allowed wait already, or there is no memory left for the answer.
            DeadlineExceeded: the time is over.
            StorageUnavailable, StorageCorrupt: as those of ``DocumentStore``.
        """
        ...


class ChangeFeed(Protocol):
    """A reader's view of the store, for the one thread that owns the indexes; its calls block.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    def has_news(self) -> bool:
        """Return whether anything may have been committed since this was last called; cheap."""
        ...

    def news_not_taken(self) -> None:
        """Let ``has_news`` answer true again: what it told of could not be applied."""
        ...

    def store_id(self) -> str:
        """Return the store's random id: a snapshot taken of another store is none of this one."""
        ...

    def collections(self) -> list[CollectionRecord]:
        """Return every collection."""
        ...

    def last_change(self) -> int:
        """Return the number of the last change."""
        ...

    def changes(self, collection: CollectionRecord, *, after: int, removals_after: int, limit: int) -> Changes | None:
        """Return the changes of a collection that has a dim.

        Args:
            collection: as ``collections`` gave it.
            after: additions with a higher number are given, oldest first.
            removals_after: removals with a higher number are given, up to the last addition given.
            limit: additions at the most.

        Returns:
            None if the store no longer knows all those removals: the index must be built anew.
        """
        ...

    def documents(self, row_ids: Sequence[int], most_bytes: int | None = None) -> dict[int, LiveDocument]:
        """Return those of the rows that are there, by row number.

        Raises:
            TooManyBytes: if their texts and metadata take more than ``most_bytes``; then no more of them are read.
        """
        ...

    def row_ids(self, collection_id: int) -> Keys:
        """Return the row numbers of all documents that have a vector."""
        ...

    def close(self) -> None:
        """Give back what the reader holds."""
        ...


class Graph(Protocol):
    """An approximate nearest-neighbour index over unit vectors; used by one thread at a time.

    It may not find a vector that it holds, even where the query is that vector: see ``index.base``.
    """

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        ...

    def __len__(self) -> int:
        """Return how many vectors it holds."""
        ...

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors ``(n, dim) float32`` under keys that are not there yet; a graph that is mapped takes none."""
        ...

    def search(self, queries: Vectors, count: int, effort: int) -> list[dict[int, float]]:
        """Return for each query up to ``count`` keys with their cosines, nearest first.

        Args:
            queries: ``(m, dim) float32``, rows of unit length.
            count: results at most.
            effort: candidates that are kept on the way, at least ``count``: more find more and take longer. What one
                effort finds, a larger one finds as well.
        """
        ...

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return which of the keys are there."""
        ...

    def keys(self) -> Keys:
        """Return every key, in no order."""
        ...

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of keys that are there, ``(n, dim) float32``, with the precision that is stored."""
        ...

    def save(self, path: Path) -> None:
        """Write it to a file."""
        ...


class GraphFactory(Protocol):
    """Makes graphs."""

    def create(self, dim: int) -> Graph:
        """Return an empty graph."""
        ...

    def load(self, path: Path, dim: int, *, writable: bool) -> Graph:
        """Return the graph in a file that ``Graph.save`` wrote.

        The file must have been verified: the library may crash on a damaged one.

        Args:
            path: of the file.
            dim: length of its vectors.
            writable: read it into memory, so that it can be added to; otherwise the file is mapped, which takes no
                time, and must not change while the graph is there.

        Raises:
            ValueError: if the file is no such graph or has another dim.
        """
        ...

    def description(self) -> str:
        """Return library, version, number type and parameters: a snapshot of another description is not loaded."""
        ...


@dataclass(frozen=True, slots=True)
class SavedBase:
    """A base as it is saved: its graphs, and arrays by name."""

    graphs: list[Graph]
    arrays: dict[str, npt.NDArray[Any]]


class SnapshotStore(Protocol):
    """Where the bases of indexes are kept."""

    def manifest(self, collection_id: int) -> SnapshotManifest:
        """Return what a collection's snapshot holds.

        Raises:
            SnapshotUnusable: if there is none, or it is damaged.
        """
        ...

    def load(self, manifest: SnapshotManifest, factory: GraphFactory, *, writable: bool) -> SavedBase:
        """Return the base in a snapshot, verified.

        Args:
            manifest: of the snapshot.
            factory: loads its graphs.
            writable: see ``GraphFactory.load``.

        Raises:
            SnapshotUnusable: if a file is missing or damaged, or made by another version of the library.
        """
        ...

    def publish(self, base: SavedBase, manifest: SnapshotManifest) -> SnapshotManifest:
        """Save a base as the collection's snapshot and return its manifest, completed.

        Raises:
            OSError: if it cannot be written; the former snapshot is untouched.
        """
        ...

    def remove(self, collection_id: int) -> None:
        """Remove a collection's snapshot, if there is one."""
        ...

    def remove_orphans(self, collection_ids: Iterable[int]) -> list[str]:
        """Remove the snapshots of collections that are not among these, and return their folders' names."""
        ...


class SnapshotHelper(Protocol):
    """Saves the indexes of the running gateway, beside it."""

    async def run(self) -> list[Saved]:
        """Save what has changed, and return what was saved.

        Raises:
            StorageUnavailable: if it could not be saved; the former snapshots are untouched.
        """
        ...
