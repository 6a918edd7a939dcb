"""The document store, which is the source of truth."""

from collections.abc import Sequence
from typing import Protocol

from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    JobRecord,
    NewDocument,
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
