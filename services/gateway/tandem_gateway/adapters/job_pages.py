"""Decides what a page of a list of jobs has."""

from collections.abc import Sequence

from tandem_gateway.records.documents import JobFilter, JobPage, JobRecord


def job_page(found: Sequence[JobRecord], limit: int, condition: JobFilter, *, more: bool) -> JobPage:
    """Return the page of the first jobs that match.

    Args:
        found: jobs, the newest first.
        limit: maximum number of jobs on the page, at least 1.
        condition: that the jobs match.
        more: whether there are further jobs after these.
    """
    page: list[JobRecord] = []
    for place, job in enumerate(found):
        if condition.matches(job):
            page.append(job)
        if len(page) == limit:
            last = place + 1 == len(found) and not more
            return JobPage(page, None if last else job.position)
    return JobPage(page, found[-1].position if more and found else None)
