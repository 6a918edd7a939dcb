"""The jobs of a caller: they need the role ``ingest``.

A job's id does not name its collection. So a job of a foreign collection, or of a key with another filter, is answered
as one that does not exist.
"""

import dataclasses
from collections.abc import AsyncGenerator
from contextlib import aclosing

from tandem_gateway.access.document_filter import without_counts
from tandem_gateway.access.pages import job_page
from tandem_gateway.access.principal import Principal, check_role, check_use
from tandem_gateway.access.trail import note
from tandem_gateway.errors import Forbidden, Overloaded
from tandem_gateway.records.documents import JobFilter, JobPage, JobPosition, JobRecord, JobRetry
from tandem_gateway.records.job_documents import DocumentStatus, JobDocument, JobDocumentPage
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
        return self._shown(await self._jobs.job(job_id, wait_seconds) if wait_seconds else found)

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
        of_key = self._principal.filter
        if of_key is None:
            return await self._jobs.page(before, limit, condition)
        own = dataclasses.replace(condition, begin=of_key.job_begin)
        page = await job_page(lambda position, count: self._jobs.page(position, count, own), before, limit)
        return JobPage([self._shown(job) for job in page.jobs], page.before)

    async def documents(
        self, job_id: str, first: int, limit: int, status: DocumentStatus | None = None
    ) -> JobDocumentPage:
        """Return documents of a job; see ``Jobs.documents``."""
        await self._checked(job_id)
        page = await self._jobs.documents(job_id, first, limit, status)
        of_key = self._principal.filter
        if of_key is None:
            return page
        shown = [
            JobDocument(
                None if each.doc_id is None else of_key.shown(each.doc_id),
                each.status,
                None if each.reason is None else of_key.text(each.reason),
            )
            for each in page.documents
        ]
        return JobDocumentPage(shown, page.next)

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job; see ``Jobs.cancel``."""
        await self._checked(job_id)
        return self._shown(await self._jobs.cancel(job_id))

    async def retry(self, job_id: str) -> JobRetry:
        """Retry a job; see ``Jobs.retry``."""
        await self._checked(job_id)
        if self._principal.filter is None:
            return await self._jobs.retry(job_id)
        try:
            found = await self._jobs.retry(job_id)
        except Overloaded as error:
            raise without_counts(error) from None
        return dataclasses.replace(found, job=self._shown(found.job))

    async def _checked(self, job_id: str) -> JobRecord:
        check_role(self._principal, "ingest")
        found = await self._jobs.job(job_id)
        note(collection=found.collection)
        of_key = self._principal.filter
        if not self._principal.covers(found.collection) or (of_key is not None and not of_key.has_job(job_id)):
            raise no_job(job_id)
        return found

    def _shown(self, job: JobRecord) -> JobRecord:
        of_key = self._principal.filter
        return job if of_key is None else of_key.job(job)


class GuardedJobEvents:
    """``JobEvents`` for one caller. An event has no failures, so it has no ids of documents."""

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
