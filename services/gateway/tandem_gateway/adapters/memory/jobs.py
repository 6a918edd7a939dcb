"""How a store in memory reads its jobs, and cancels them. The caller holds the content's lock."""

import dataclasses
from collections.abc import Iterable

from tandem_gateway.adapters.job_pages import job_page
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.ports.jobs import CANCELLED_AT_ONCE, JOBS_SCANNED
from tandem_gateway.records.documents import JobFilter, JobPage, JobPosition, JobRecord


def page(content: Content, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
    """Return a page of jobs; see ``JobStore.jobs``."""
    there = sorted(content.jobs.values(), key=lambda job: job.position, reverse=True)
    found = [dataclasses.replace(job, failures=[]) for job in there if before is None or job.position < before]
    return job_page(found[:JOBS_SCANNED], limit, condition, more=len(found) > JOBS_SCANNED)


def progress(content: Content, job_ids: Iterable[str]) -> list[JobRecord]:
    """Return jobs; see ``JobStore.progress``."""
    there = content.jobs
    return [dataclasses.replace(there[job_id], failures=[]) for job_id in set(job_ids) if job_id in there]


def unfinished(content: Content, job_ids: Iterable[str]) -> set[str]:
    """Return the jobs that have not ended; see ``JobStore.unfinished``."""
    there = content.jobs
    return {job_id for job_id in job_ids if job_id in there and there[job_id].finished_at is None}


def cancel(content: Content, job_id: str, now: float) -> JobRecord | None:
    """Cancel documents of a job; see ``JobStore.cancel``."""
    waiting = [
        (collection, version)
        for collection in content.collections.values()
        for version in collection.pending.values()
        if job_id in version.jobs
    ]
    for collection, version in waiting[:CANCELLED_AT_ONCE]:
        content.end(version, job_id, "cancelled")
        content.count(job_id, version.jobs.pop(job_id), now, cancelled=True)
        if not version.jobs:
            content.remove(collection, version)
    content.version += 1
    return content.jobs.get(job_id)
