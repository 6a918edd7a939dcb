"""Pages of lists for the holder of a filter. They end where the holder's own documents or jobs decide, and no others.

The store ends a page early after a number of rows, matching or not, and goes on behind the last one. So the place of
its next page may be another tenant's row. Here a page goes on until it is full or the list ends, and the next page
begins behind a row of the holder.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.ports.documents import PAGE_BYTES
from tandem_gateway.records.documents import DocumentPage, DocumentView, JobPage, JobPosition, JobRecord
from tandem_runtime.durations import duration

SECONDS: Final = 10.0
"""Seconds after which a page ends that is not full, behind its last row."""


async def document_page(
    read: Callable[[str, int], Awaitable[DocumentPage]],
    after: str,
    limit: int,
    clock: Callable[[], float] = time.monotonic,
) -> DocumentPage:
    """Return a page of documents.

    Args:
        read: returns a page of the holder's documents after an id, with at most that many.
        after: id after which the page begins.
        limit: maximum number of documents, at least 1.
        clock: returns seconds and never goes back.

    Raises:
        DeadlineExceeded: there was no document within ``SECONDS``.
    """
    end = clock() + SECONDS
    found: list[DocumentView] = []
    size = 0
    while True:
        page = await read(after, max(1, limit - len(found)))
        for view in page.documents:
            if len(found) == limit or size >= PAGE_BYTES:
                return DocumentPage(found, found[-1].doc_id)
            found.append(view)
            size += len(view.text) + len(view.metadata)
        if page.after is None:
            return DocumentPage(found, None)
        after = page.after
        if clock() >= end:
            if not found:
                raise DeadlineExceeded(f"no document of the key was found within {duration(SECONDS)}")
            return DocumentPage(found, found[-1].doc_id)


async def job_page(
    read: Callable[[JobPosition | None, int], Awaitable[JobPage]], before: JobPosition | None, limit: int
) -> JobPage:
    """Return a page of jobs.

    Args:
        read: returns a page of the holder's jobs before a position, with at most that many.
        before: position before which the page begins; None for the newest job.
        limit: maximum number of jobs, at least 1.
    """
    found: list[JobRecord] = []
    while True:
        page = await read(before, max(1, limit - len(found)))
        if len(found) == limit and page.jobs:
            return JobPage(found, found[-1].position)
        found += page.jobs
        if page.before is None:
            return JobPage(found, None)
        before = page.before
