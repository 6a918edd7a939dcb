"""The document store, which is the source of truth, and the feed of its changes."""

from collections.abc import Collection, Sequence
from typing import Protocol

from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    EmbeddedBatch,
    JobRecord,
    LiveDocument,
    NewDocument,
    PendingBatch,
)
from tandem_gateway.records.index import Changes


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


class ChangeFeed(Protocol):
    """A reader's view of the store, for the one thread that owns the indexes; its calls block.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    def version(self) -> int:
        """Return a number that differs after each commit; cheap. The caller compares it with the one it saw last."""
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
