"""Pages of the holder of a filter end where its own rows decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.pages import SECONDS, document_page, job_page
from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.ports.documents import PAGE_BYTES
from tandem_gateway.records.documents import DocumentPage, DocumentView, JobPage, JobPosition, JobRecord

ROWS = st.lists(st.booleans(), max_size=30)
"""Rows of a list, of which some are the holder's."""


def job(number: int) -> JobRecord:
    return JobRecord(f"job_{number}", "default", 1, 1, 0, 0, float(number), None, None)


class Documents:
    """A list of documents, read a few rows at a time as a store does."""

    def __init__(self, rows: list[bool], scanned: int, chars: int = 1) -> None:
        self.rows = [(f"{number:03}", own) for number, own in enumerate(rows)]
        self.scanned = scanned
        self.text = "x" * chars
        self.seconds = 0.0

    async def read(self, after: str, limit: int) -> DocumentPage:
        assert limit >= 1
        self.seconds += 1
        left = [row for row in self.rows if row[0] > after]
        found: list[DocumentView] = []
        for place, (doc_id, own) in enumerate(left):
            if place == self.scanned or len(found) == limit:
                return DocumentPage(found, left[place - 1][0])
            if own:
                found.append(DocumentView(doc_id, self.text, "", embedded=True))
        return DocumentPage(found, None)


@given(ROWS, st.integers(1, 5), st.integers(1, 4))
async def test_pages_of_documents_are_those_without_the_rows_of_others(rows: list[bool], scanned: int, limit: int):
    listed = Documents(rows, scanned)
    own = [doc_id for doc_id, mine in listed.rows if mine]
    pages: list[list[str]] = []
    after: str | None = ""
    while after is not None:
        page = await document_page(listed.read, after, limit, lambda: 0.0)
        pages.append([view.doc_id for view in page.documents])
        after = page.after
        assert after is None or after == pages[-1][-1]
    assert pages == ([own[begin : begin + limit] for begin in range(0, len(own), limit)] or [[]])


async def test_a_page_ends_by_the_size_of_its_documents():
    listed = Documents([True, False] * 6, 2, PAGE_BYTES // 2)
    page = await document_page(listed.read, "", 100, lambda: 0.0)
    assert [view.doc_id for view in page.documents] == ["000", "002"]
    assert page.after == "002"


async def test_a_page_that_takes_long_ends_behind_its_last_document_or_says_so():
    listed = Documents([True] + [False] * 30, 1)
    page = await document_page(listed.read, "", 100, lambda: listed.seconds)
    assert ([view.doc_id for view in page.documents], page.after) == (["000"], "000")
    listed.seconds = 0.0
    with pytest.raises(DeadlineExceeded, match=f"{SECONDS:.0f}"):
        await document_page(listed.read, "000", 100, lambda: listed.seconds)


@given(ROWS, st.integers(1, 5), st.integers(1, 4))
async def test_pages_of_jobs_are_those_without_the_jobs_of_others(rows: list[bool], scanned: int, limit: int):
    jobs = [(job(number), own) for number, own in reversed(list(enumerate(rows)))]

    async def read(before: JobPosition | None, count: int) -> JobPage:
        assert count >= 1
        left = [each for each in jobs if before is None or each[0].position < before]
        found: list[JobRecord] = []
        for place, (each, own) in enumerate(left):
            if place == scanned or len(found) == count:
                return JobPage(found, left[place - 1][0].position)
            if own:
                found.append(each)
        return JobPage(found, None)

    own = [each.job_id for each, mine in jobs if mine]
    pages: list[list[str]] = []
    before: JobPosition | None = None
    while True:
        page = await job_page(read, before, limit)
        pages.append([each.job_id for each in page.jobs])
        if page.before is None:
            break
        before = page.before
        assert before[1] == pages[-1][-1]
    assert pages == ([own[begin : begin + limit] for begin in range(0, len(own), limit)] or [[]])
