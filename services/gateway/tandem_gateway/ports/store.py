"""The document store, which is the source of truth."""

from collections.abc import Collection, Sequence
from typing import Protocol

from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    EmbeddedBatch,
    JobRecord,
    NewDocument,
    PendingBatch,
)
from tandem_gateway.records.scrubbing import ScrubPage


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

    async def pending(self, *, after: int, limit: int, without: Collection[int]) -> PendingBatch:
        """Return up to ``limit`` documents without a vector, of one collection, with row numbers above ``after``.

        The batch is smaller if its texts would exceed the body size that an embedder accepts.

        Args:
            after: last row number to skip.
            limit: maximum number of documents.
            without: ids of collections to skip.
        """
        ...

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Store the vectors of a batch and return how many documents got one.

        Documents that were replaced or deleted since the batch was read are skipped.

        Raises:
            FingerprintMismatch: the collection is pinned to another fingerprint. Nothing is written.
        """
        ...

    async def fail(self, row_id: int, error: str) -> None:
        """Mark a pending document as failed: delete it, and record its id and the error in its jobs."""
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

    async def forget_removals(self, space_id: int, upto: int) -> int:
        """Record that the index of a space needs no removals up to a change number, and delete what no index needs.

        Returns:
            How many were deleted.
        """
        ...

    async def scrub(self, limit: int) -> ScrubPage:
        """Compare the next ``limit`` rows with what was written; after the last row, begin again with the first."""
        ...

    async def forget_jobs(self, before: float) -> int:
        """Delete jobs that finished before ``before`` (seconds since the epoch), and those over the store's limit.

        Returns:
            How many were deleted. Unfinished jobs stay.
        """
        ...
