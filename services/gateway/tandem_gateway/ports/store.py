"""The document store, which is the source of truth, and the feed of its changes."""

from collections.abc import Sequence
from typing import Protocol

from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    JobRecord,
    LiveDocument,
    NewDocument,
)
from tandem_gateway.records.index import Changes


class DocumentStore(Protocol):
    """The source of truth for documents, jobs and collections. A write is on disk when its method returns.

    Every method may raise StorageUnavailable and StorageCorrupt. Methods that write may also raise Overloaded.
    """

    @property
    def write_failure(self) -> str | None:
        """Why the last write failed (a full disk, for example); None if it succeeded."""
        ...

    async def accept(self, job_id: str, collection: str, documents: Sequence[NewDocument], now: float) -> JobRecord:
        """Store documents to be embedded, and a job that counts them.

        A document whose newest version has the same content counts as unchanged at once. A changed document replaces
        the older version once its own vector is stored; until then search finds the older version.

        Raises:
            InvalidRequest: the collection is new and the limit on collections is reached.
            Overloaded: too many documents wait to be embedded.
        """
        ...

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete all versions of a document, and return whether it existed."""
        ...

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection with all its documents, and return whether it existed."""
        ...

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return the newest version of a document; None if there is none."""
        ...

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a job; None if there is none."""
        ...

    async def collections(self) -> list[CollectionRecord]:
        """Return all collections, ordered by name."""
        ...

    async def forget_tombstones(self, collection_id: int, upto: int) -> int:
        """Delete a collection's tombstones up to a change number that its snapshot already covers.

        Returns:
            How many were deleted.
        """
        ...

    async def forget_jobs(self, before: float) -> int:
        """Delete jobs that finished before ``before`` (seconds since the epoch), and those over the store's limit.

        Returns:
            How many were deleted. Unfinished jobs stay.
        """
        ...


class ChangeFeed(Protocol):
    """A read-only view of the store for the thread that owns the indexes. Its calls block.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    def version(self) -> int:
        """Return a number that differs after each commit; cheap. The caller compares it with the one it saw last."""
        ...

    def store_id(self) -> str:
        """Return the store's random id. A snapshot with another id belongs to another store."""
        ...

    def collections(self) -> list[CollectionRecord]:
        """Return all collections."""
        ...

    def last_change(self) -> int:
        """Return the highest change number."""
        ...

    def changes(self, collection: CollectionRecord, *, after: int, removals_after: int, limit: int) -> Changes | None:
        """Return the changes of a collection whose dimension is known.

        Args:
            collection: a record that ``collections`` returned.
            after: return additions with a higher change number, oldest first.
            removals_after: return removals with a higher change number, up to the last addition returned.
            limit: maximum number of additions.

        Returns:
            None if the store has already deleted some of these tombstones; the index must then be rebuilt.
        """
        ...

    def documents(self, row_ids: Sequence[int], max_bytes: int | None = None) -> dict[int, LiveDocument]:
        """Return the rows that exist, by row number.

        Raises:
            TooManyBytes: their texts and metadata take more than ``max_bytes``. Reading stops at that point.
        """
        ...

    def row_ids(self, collection_id: int) -> Keys:
        """Return the row numbers of all documents of a collection that have a vector."""
        ...

    def close(self) -> None:
        """Release the reader's resources."""
        ...
