"""Decides what a page of a list of jobs has, and one of the documents of a job."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from tandem_gateway.ports.jobs import JOB_DOCUMENTS_SCANNED
from tandem_gateway.records.documents import JobFilter, JobPage, JobRecord
from tandem_gateway.records.job_documents import DocumentStatus, JobDocument, JobDocumentPage

T = TypeVar("T")


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


def job_document_page(
    found: Iterable[JobDocument], first: int, limit: int, status: DocumentStatus | None
) -> JobDocumentPage:
    """Return the page of the first documents that match; it reads no more than it needs.

    Args:
        found: documents of a job, in order.
        first: place of the first of them.
        limit: maximum number of documents on the page, at least 1.
        status: only documents with this status; None for all.
    """
    page: list[JobDocument] = []
    for place, document in enumerate(found, first):
        if len(page) == limit or place - first == JOB_DOCUMENTS_SCANNED:
            return JobDocumentPage(page, place)
        if status in (None, document.status):
            page.append(document)
    return JobDocumentPage(page, None)


def with_skipped(accepted: Sequence[T], skipped: Sequence[tuple[int, T]]) -> list[T]:
    """Return what is listed of an ingest's documents, in the order of the ingest.

    Args:
        accepted: of the documents that are valid, in order.
        skipped: index in the ingest and what is listed of each of the others, in order.
    """
    rest, at = iter(accepted), dict(skipped)
    return [at[place] if place in at else next(rest) for place in range(len(accepted) + len(skipped))]
