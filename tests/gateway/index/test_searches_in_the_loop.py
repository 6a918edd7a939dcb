"""Searches in the event loop itself while the index's thread is idle."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.index.findable import FindableIndex
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import VectorQuery
from tests.gateway.index.threads import query
from tests.support.fakes import WAIT_SECONDS
from tests.support.stores import document, ingest


async def done_at_once(thread: IndexThread, queries: Sequence[VectorQuery]) -> bool:
    """Search, and return whether the event loop did the work itself."""
    answer = thread.search(queries)
    at_once = answer.done()
    await answer
    return at_once


async def read_rows(thread: IndexThread, queries: Sequence[VectorQuery]) -> None:
    """Search for a new query, so that the rows of its hits are cached; wait for the thread."""
    assert not await done_at_once(thread, queries)
    await idle(thread)


async def idle(thread: IndexThread) -> None:
    """Wait until the thread has done its tasks and released the indexes."""
    await asyncio.wrap_future(thread.state())
    with thread._touching:
        pass


async def test_cached_searches_are_answered_alike_without_the_thread(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a"), document("b")])
    await idle(thread)
    asked = [query("text of a"), query("text of b", 1), query("x", collection="none")]
    first = thread.search(asked)
    assert not first.done(), "no row was read yet"
    await first
    await idle(thread)
    second = thread.search(asked)
    assert second.done()
    assert second.result()[:2] == first.result()[:2]
    assert str(second.result()[2]) == str(first.result()[2])


async def test_rows_that_are_not_in_memory_cost_no_second_search(
    store: SqliteStore, thread: IndexThread, monkeypatch: pytest.MonkeyPatch
):
    searched: list[int] = []
    search = FindableIndex.search
    monkeypatch.setattr(FindableIndex, "search", lambda *given: searched.append(len(given[1])) or search(*given))

    await ingest(store, [document("a"), document("b")])
    await idle(thread)
    assert not await done_at_once(thread, [query("text of a")])
    assert searched == [1]


async def test_a_commit_after_the_loops_search_is_found(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a", "one text"), document("b")])
    await idle(thread)
    retrieval = thread._retrieval
    assert retrieval is not None
    asked = [query("new text", 1)]
    found = retrieval.find_in_memory(asked, 100)
    assert found is not None
    await store.delete("default", "a")
    await ingest(store, [document("c", "new text")], job_id="later")
    await idle(thread)  # it follows the store before it searches
    (answer,) = await asyncio.wrap_future(thread._call(lambda: retrieval.search(asked, found)))
    assert isinstance(answer, list)
    assert [hit.doc_id for hit in answer] == ["c"]


async def test_news_are_for_the_thread_to_take(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a")])
    await read_rows(thread, [query("text of a")])
    assert await done_at_once(thread, [query("text of a")])
    await store.delete("default", "a")
    assert not await done_at_once(thread, [query("text of a")])
    await idle(thread)
    answer = thread.search([query("text of a")])
    assert answer.done()
    assert answer.result() == [[]]


async def test_a_thread_that_is_busy_is_not_disturbed(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a")])
    await read_rows(thread, [query("text of a")])
    begun, go_on = threading.Event(), threading.Event()

    def occupy() -> None:
        begun.set()
        go_on.wait(WAIT_SECONDS)

    occupied = asyncio.wrap_future(thread._call(occupy))
    await asyncio.to_thread(begun.wait, WAIT_SECONDS)
    answer = thread.search([query("text of a")])
    assert not answer.done()
    go_on.set()
    await occupied
    assert [hit.doc_id for hit in (await answer)[0]] == ["a"]  # type: ignore[union-attr]


async def test_long_searches_go_to_the_thread(store: SqliteStore, thread: IndexThread, monkeypatch: pytest.MonkeyPatch):
    await ingest(store, [document("a"), document("b")])
    await read_rows(thread, [query("text of a"), query("text of b")])
    monkeypatch.setattr("tandem_gateway.index.index_thread._AT_ONCE", 3)
    assert await done_at_once(thread, [query("text of a")])
    assert not await done_at_once(thread, [query("text of a"), query("text of b")])
