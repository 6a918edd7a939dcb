"""The jobs of a caller: they need the role ``ingest``.

A job's id does not name its collection. So a job of a foreign collection is answered as one that does not exist.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from tandem_gateway.access.principal import Principal, check_role, check_use
from tandem_gateway.access.trail import note
from tandem_gateway.errors import Forbidden
from tandem_gateway.records.documents import JobFilter, JobPage, JobPosition, JobRecord, JobRetry
from tandem_gateway.records.job_documents import DocumentStatus, JobDocumentPage
from tandem_gateway.use_cases.job_events import JobEvent, JobEvents
from tandem_gateway.use_cases.jobs import Jobs, no_job


class GuardedJobs:
    """``Jobs`` for one caller. Each method also raises Forbidden for a caller without the role."""

    __slots__ = ("_jobs", "_principal")

    def __init__(self, jobs: Jobs, principal: Principal) -> None:
        self._jobs = jobs
        self._principal = principal

    async def job(self, job_id: str, wait_seconds: float = 0) -> JobRecord:
        """Return a job; see ``Jobs.job``."""
        found = await self._checked(job_id)
        return await self._jobs.job(job_id, wait_seconds) if wait_seconds else found

    async def page(self, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
        """Return jobs; see ``Jobs.page``.

        Raises:
            Forbidden: the caller may use some collections only, and ``condition`` names none of them.
        """
        check_role(self._principal, "ingest")
        if condition.collection is not None:
            check_use(self._principal, "ingest", condition.collection)
        elif self._principal.pattern is not None:
            raise Forbidden("collection: this key may use some collections only; name one of them", param="collection")
        return await self._jobs.page(before, limit, condition)

    async def documents(
        self, job_id: str, first: int, limit: int, status: DocumentStatus | None = None
    ) -> JobDocumentPage:
        """Return documents of a job; see ``Jobs.documents``."""
        await self._checked(job_id)
        return await self._jobs.documents(job_id, first, limit, status)

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job; see ``Jobs.cancel``."""
        await self._checked(job_id)
        return await self._jobs.cancel(job_id)

    async def retry(self, job_id: str) -> JobRetry:
        """Retry a job; see ``Jobs.retry``."""
        await self._checked(job_id)
        return await self._jobs.retry(job_id)

    async def _checked(self, job_id: str) -> JobRecord:
        check_role(self._principal, "ingest")
        found = await self._jobs.job(job_id)
        note(collection=found.collection)
        if not self._principal.covers(found.collection):
            raise no_job(job_id)
        return found


class GuardedJobEvents:
    """``JobEvents`` for one caller."""

    __slots__ = ("_events", "_jobs")

    def __init__(self, events: JobEvents, jobs: GuardedJobs) -> None:
        self._events = events
        self._jobs = jobs

    async def follow(self, job_id: str) -> AsyncGenerator[JobEvent | None]:
        """Yield the job now and after each change; see ``JobEvents.follow``.

        Raises:
            Forbidden, NotFound: as for a read of the job.
        """
        await self._jobs.job(job_id)
        async with aclosing(self._events.follow(job_id)) as events:
            async for event in events:
                yield event
