"""Documents and their jobs."""

from collections.abc import Sequence
from typing import Final, Protocol

from tandem_gateway.records.documents import DocumentView, IdempotencyKey, JobRecord, NewDocument

KEY_SECONDS: Final = 86_400.0
"""Seconds for which an idempotency key names its job. The job may be forgotten earlier; see ``Retention``."""


class IngestStore(Protocol):
    """Accepts documents, and counts them in jobs. A write is on disk when its method returns.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    async def accept(
        self,
        job_id: str,
        collection: str,
        documents: Sequence[NewDocument],
        now: float,
        key: IdempotencyKey | None = None,
    ) -> JobRecord:
        """Store documents to be embedded, and a job that counts them; create the collection if it is new.

        A document whose newest version has the same content counts as unchanged at once. A document of which only the
        metadata changed keeps its vectors, under new passage ids, and counts as processed at once. Any other document
        replaces the older version once all its passages have vectors; until then search finds the older version.

        Args:
            job_id: of the job; no other job may have it.
            collection: name of the collection.
            documents: to store, in order.
            now: seconds since the epoch.
            key: if a job that was accepted with this key less than ``KEY_SECONDS`` ago is still kept, the store returns
                that job as it is now, and stores nothing.

        Raises:
            Conflict: the job with the same key has another request hash.
            InvalidRequest: the collection is new and the limit on collections is reached.
            Overloaded: too many documents wait to be embedded, or too many writes wait.
            DeadlineExceeded: the write took too long; it may still take effect.
        """
        ...


class DocumentStore(Protocol):
    """Reads and deletes documents by id. A deletion is on disk when ``delete`` returns.

    Every method may raise StorageUnavailable and StorageCorrupt. ``delete`` may also raise Overloaded and
    DeadlineExceeded; after DeadlineExceeded the deletion may still take effect.
    """

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return the newest version of a document; None if there is none."""
        ...

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete all versions of a document, and return whether it existed."""
        ...
