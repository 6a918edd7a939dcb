"""The rules of a store, whatever its medium: its maximum sizes, and what an idempotency key allows."""

from dataclasses import dataclass
from typing import Final

from tandem_gateway.errors import Conflict, InvalidRequest, Overloaded
from tandem_gateway.ports.documents import MAX_SOURCE_DELETIONS
from tandem_gateway.records.documents import IdempotencyKey, JobRecord

MAX_KEPT_FAILURES: Final = 100
"""Maximum number of failed documents that a job names; it counts all of them."""
MAX_ERROR_CHARS: Final = 1000
"""Maximum length of the error of a failed document."""
MAX_REASON_CHARS: Final = 200
"""Maximum length of the reason of a document in the list of a job, if the job's failures do not have its error."""
LIST_ENTRY_BYTES: Final = 64
"""Size of a document in the list of a job, beside its id: what the store may record of its end."""
FAILED_ENTRY_BYTES: Final = 256
"""Size of a failed document that is kept for a retry, beside its id, text, metadata and source."""
FAILED_BYTES: Final = 64 << 20
"""Default of ``Limits.failed_bytes``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum sizes of the store."""

    collections: int
    pending_documents: int
    finished_jobs: int
    """Number of finished jobs to keep; the store may hold a few more until the next cleanup."""
    failed_bytes: int = FAILED_BYTES
    """Maximum size of the failed documents that are kept for a retry, in bytes of all collections together."""

    def check_collections(self, existing: int) -> None:
        """Check that one more collection is allowed.

        Raises:
            InvalidRequest: if it is not.
        """
        if existing >= self.collections:
            raise InvalidRequest(
                f"collection: there are {existing} collections already, the limit is {self.collections} "
                "(TANDEM_MAX_COLLECTIONS)",
                param="collection",
                code="limit_exceeded",
            )

    def check_pending(self, pending: int, more: int) -> None:
        """Check that ``more`` documents may wait to be embedded, beside ``pending`` others.

        Raises:
            Overloaded: if they may not.
        """
        if pending + more > self.pending_documents:
            raise Overloaded(
                f"documents: {pending} wait to be embedded and {more} more would exceed the limit of "
                f"{self.pending_documents} (TANDEM_MAX_PENDING_DOCUMENTS)",
                retry_after=30,
            )


def most_deletions() -> int:
    """Return how many documents ``check_deletions`` allows."""
    return MAX_SOURCE_DELETIONS


def check_deletions(count: int) -> None:
    """Check the number of documents that one comparison with a source deletes.

    Raises:
        InvalidRequest: there are too many.
    """
    if count > MAX_SOURCE_DELETIONS:
        raise InvalidRequest(
            f"documents: {count} documents of the source are not listed and would be deleted, at most "
            f"{MAX_SOURCE_DELETIONS} in one request; delete some of them first",
            param="documents",
            code="limit_exceeded",
        )


def check_key(key: IdempotencyKey, request_hash: bytes) -> None:
    """Check that a request is the one that was accepted with the same key.

    Raises:
        Conflict: if it is not.
    """
    if key.request_hash != request_hash:
        raise Conflict(
            "idempotency-key: an ingest of other documents has this key; use a new key for each new ingest",
            param="idempotency-key",
        )


def check_retry(job: JobRecord) -> None:
    """Check that a job has ended and that documents of it have failed.

    Raises:
        Conflict: it runs still, or no document of it has failed.
    """
    if job.finished_at is None:
        raise Conflict(
            f"job_id: {job.job_id} has not ended: {job.total - job.processed} of its documents wait to be embedded; "
            "retry it when it has ended",
            param="job_id",
        )
    if not job.failed:
        raise Conflict(f"job_id: {job.job_id} has no failed documents", param="job_id")


def nothing_to_retry(job: JobRecord) -> Conflict:
    """Return the error for a job whose failed documents are all gone."""
    return Conflict(
        f"job_id: none of the {job.failed} failed documents of {job.job_id} can be retried any more: each was ingested "
        "again, changed or deleted since, or is no longer kept (TANDEM_FAILED_DOCUMENT_BYTES, "
        "TANDEM_FAILED_DOCUMENT_SECONDS)",
        param="job_id",
    )
