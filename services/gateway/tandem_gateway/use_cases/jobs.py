"""Follow, list, cancel and retry jobs."""

import re
import time
from collections.abc import Callable
from typing import Final

from tandem_gateway.errors import InvalidRequest, NotFound
from tandem_gateway.ports.jobs import JobStore
from tandem_gateway.records.documents import JobFilter, JobPage, JobPosition, JobRecord, JobRetry
from tandem_gateway.records.job_documents import DocumentStatus, JobDocumentPage
from tandem_gateway.use_cases.documents import MAX_PAGE
from tandem_gateway.use_cases.job_waiting import JobWaiting
from tandem_gateway.use_cases.validation import check_collection

JOB_ID_PATTERN: Final = "^job_[0-9a-f]{32}$"
"""Pattern of a job id, in the syntax of JSON Schema."""
MAX_WAIT_SECONDS: Final = 60
"""Maximum number of seconds that a request waits for the end of a job."""

_JOB_ID = re.compile(r"job_[0-9a-f]{32}\Z")


class Jobs:
    """Access to jobs; calls ``on_changed`` after it has cancelled documents, and ``on_waiting`` after a retry."""

    def __init__(
        self,
        store: JobStore,
        waiting: JobWaiting,
        on_changed: Callable[[], None],
        on_waiting: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._waiting = waiting
        self._on_changed = on_changed
        self._on_waiting = on_waiting
        self._clock = clock

    async def job(self, job_id: str, wait_seconds: float = 0) -> JobRecord:
        """Return a job when it has ended, or after ``wait_seconds`` as it is then.

        Raises:
            NotFound: no job has this id, or the id is not a valid job id.
        """
        found = await self._job(job_id)
        if found.finished_at is None and wait_seconds > 0:
            await self._waiting.wait(job_id, wait_seconds)
            found = await self._job(job_id)
        return found

    async def page(self, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
        """Return jobs that match, the newest first; see ``JobStore.jobs``.

        Raises:
            InvalidRequest: the limit or the collection's name is not valid.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(
                f"limit: a whole number from 1 to {MAX_PAGE} was expected, not {limit}",
                param="limit",
                code="limit_exceeded",
            )
        if condition.collection is not None:
            check_collection(condition.collection)
        return await self._store.jobs(before, limit, condition)

    async def documents(
        self, job_id: str, first: int, limit: int, status: DocumentStatus | None = None
    ) -> JobDocumentPage:
        """Return documents of a job, in the order of its ingest; see ``JobStore.job_documents``.

        Raises:
            NotFound: no job has this id, or the store does not keep the list of its documents any more.
        """
        page = await self._store.job_documents(job_id, first, limit, status)
        if page is None:
            await self._job(job_id)
            raise NotFound(
                f"job_id: the list of the documents of {job_id!r} is not kept; the lists of the oldest jobs are "
                "forgotten first, and jobs of earlier releases have none",
                param="job_id",
            )
        return page

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel what a job has not embedded yet, and return the job, which has ended.

        Raises:
            NotFound: no job has this id, or the id is not a valid job id.
            Overloaded, DeadlineExceeded, StorageError: a part may be cancelled; call it again for the rest.
        """
        found = await self._job(job_id)
        while found.finished_at is None:
            cancelled = await self._store.cancel(job_id, self._clock())
            if cancelled is None:
                raise no_job(job_id)
            found = cancelled
            self._on_changed()
            self._waiting.notify()
        return found

    async def retry(self, job_id: str) -> JobRetry:
        """Make the failed documents of a job wait again; see ``JobStore.retry``.

        Raises:
            NotFound: no job has this id, or the id is not a valid job id.
            Conflict: the job has not ended, or it has no failed document that can be retried.
            Overloaded: too many documents wait to be embedded.
        """
        await self._job(job_id)
        found = await self._store.retry(job_id, self._clock())
        if found is None:
            raise no_job(job_id)
        self._on_waiting()
        return found

    def release(self) -> None:
        """Let the requests go that wait for jobs: the service stops."""
        self._waiting.release()

    async def _job(self, job_id: str) -> JobRecord:
        if not _JOB_ID.match(job_id):
            raise NotFound(f"job_id: {job_id[:80]!r} is no job id ('job_' and 32 hexadecimal digits)", param="job_id")
        job = await self._store.job(job_id)
        if job is None:
            raise no_job(job_id)
        return job


def is_job_id(job_id: str) -> bool:
    """Return whether a job may have this id."""
    return _JOB_ID.match(job_id) is not None


def documents_per_second(job: JobRecord, now: float) -> float | None:
    """Return how many documents of a job were embedded a second so far; None before the first.

    Documents that were unchanged or cancelled do not count, because they took no work. None after a retry, because the
    time between includes the pause before it.
    """
    embedded = job.processed - job.unchanged - job.cancelled
    if job.started_at is None or job.retried_at is not None or embedded <= 0:
        return None
    seconds = (now if job.finished_at is None else job.finished_at) - job.started_at
    return embedded / seconds if seconds > 0 else None


def seconds_left(job: JobRecord, now: float) -> float | None:
    """Return the seconds that the rest of a job takes at its speed so far; None if the speed is unknown or it ended."""
    speed = documents_per_second(job, now)
    if speed is None or job.finished_at is not None:
        return None
    return (job.total - job.processed) / speed


def no_job(job_id: str) -> NotFound:
    """Return the error for an id that no job has."""
    return NotFound(f"job_id: there is no job {job_id!r}", param="job_id")
