"""Jobs: their progress, and their end."""

from collections.abc import Collection
from typing import Final, Protocol

from tandem_gateway.records.documents import JobFilter, JobPage, JobPosition, JobRecord, JobRetry
from tandem_gateway.records.job_documents import DocumentStatus, JobDocumentPage

JOBS_SCANNED: Final = 2_000
"""Maximum number of jobs that one call for a page looks at."""
JOB_DOCUMENTS_SCANNED: Final = 2_000
"""Maximum number of documents that one call for a page of a job's documents looks at."""
CANCELLED_AT_ONCE: Final = 500
"""Maximum number of documents that one call of ``cancel`` removes: the other writes wait for it."""


class JobStore(Protocol):
    """Reads and cancels jobs; ``IngestStore.accept`` creates them, and ``Retention`` forgets them.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a job; None if there is none."""
        ...

    async def jobs(self, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
        """Return jobs that match, the newest first, without their failures.

        The page ends early after ``JOBS_SCANNED`` jobs, matching or not, and may be empty. The position of a job never
        changes: following the pages from ``before=None`` finds each job once that exists, and matches, all the while.

        Args:
            before: the position of the page before; None for the first page.
            limit: maximum number of jobs, at least 1.
            condition: that the jobs match.
        """
        ...

    async def job_documents(
        self, job_id: str, first: int, limit: int, status: DocumentStatus | None
    ) -> JobDocumentPage | None:
        """Return documents of a job that match, in the order of its ingest.

        The page ends early after ``JOB_DOCUMENTS_SCANNED`` documents, matching or not, and may be empty. A document's
        place never changes.

        Args:
            job_id: of the job.
            first: place in the ingest of the first document to look at, from 0.
            limit: maximum number of documents, at least 1.
            status: only documents with this status; None for all.

        Returns:
            The page; None if there is no job, or its list is not kept, see ``Retention``.
        """
        ...

    async def progress(self, job_ids: Collection[str]) -> list[JobRecord]:
        """Return the jobs among these that exist, without their failures, in no order."""
        ...

    async def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return the jobs among these that exist and have not ended."""
        ...

    async def cancel(self, job_id: str, now: float) -> JobRecord | None:
        """Cancel the documents of a job that wait to be embedded, and return the job; call it until the job has ended.

        A cancelled document counts as processed and cancelled. Its pending version leaves, unless another job waits for
        it too. The live version stays as it was. One call cancels up to ``CANCELLED_AT_ONCE`` versions in one commit.

        Args:
            job_id: of the job.
            now: seconds since the epoch.

        Returns:
            The job; None if there is none.

        Raises:
            Overloaded: too many writes wait.
            DeadlineExceeded: the write took too long; it may still take effect.
        """
        ...

    async def retry(self, job_id: str, now: float) -> JobRetry | None:
        """Make the documents of a job that failed wait again, in one commit; the job goes on.

        A failed document cannot be retried if it was ingested, changed or deleted since, or if the store has dropped
        it, see ``Retention.forget_failed``. It stays failed. If the retry of another job has embedded the same version,
        it counts as embedded at once.

        Args:
            job_id: of the job.
            now: seconds since the epoch.

        Returns:
            The job, and how many of its documents were retried; None if there is no job.

        Raises:
            Conflict: the job has not ended, has no failed document, or none that can be retried.
            Overloaded: too many documents wait to be embedded, or too many writes wait.
            DeadlineExceeded: the write took too long; it may still take effect.
        """
        ...
