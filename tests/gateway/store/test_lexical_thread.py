"""The keyword index's thread follows the store by itself, limits its queue and answers, and keeps no memory."""

import asyncio
import contextlib
import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
)
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.search import Hit, KeywordCandidates
from tandem_runtime.memory import MemoryBudget
from tests.gateway.store.lexical import TEXTS, lexical_thread
from tests.support.fakes import WAIT_SECONDS, answer_limits, eventually, turns
from tests.support.stores import document, ingest


async def test_the_thread_follows_by_itself_and_answers(store: SqliteStore, tmp_path: Path):
    seconds: list[float] = []
    lexical = lexical_thread(tmp_path, answer_limits(), on_search=seconds.append)
    lexical.start().result(WAIT_SECONDS)
    await ingest(store, [document(*item) for item in TEXTS.items()])
    lexical.notify()

    async def position() -> int:
        return lexical._require_follower()._cache().position

    await eventually(position, lambda reached: reached == len(TEXTS))
    hits = await lexical.search("default", "tea", 5, timeout=WAIT_SECONDS)
    assert [(hit.doc_id, hit.text) for hit in hits] == [("tea", TEXTS["tea"])]
    assert len(seconds) == 1
    with pytest.raises(NotFound):
        await lexical.search("nowhere", "tea", 5, timeout=WAIT_SECONDS)
    lexical.close()
    with pytest.raises(NotReady):
        await lexical.search("default", "tea", 5, timeout=WAIT_SECONDS)


async def test_the_event_loop_searches_itself_once_all_is_in_memory(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(*item) for item in TEXTS.items()])
    searched: list[str] = []
    lexical = LexicalThread(
        tmp_path,
        lambda: SqliteIndexFeed(tmp_path / FILE_NAME, lambda: store.commits),
        max_queued=4,
        limits=answer_limits(),
        on_search=lambda seconds: searched.append(threading.current_thread().name),
    )
    lexical.start().result(WAIT_SECONDS)

    async def retrieved(query: str, among: Keys | None = None) -> KeywordCandidates:
        return await lexical.retrieve("default", query, 10, timeout=WAIT_SECONDS, among=among)

    async def by_the_event_loop(query: str, among: Keys | None = None) -> KeywordCandidates:
        """Search until the thread has become idle."""

        async def last() -> tuple[KeywordCandidates, str]:
            return await retrieved(query, among), searched[-1]

        found, thread = await eventually(last, lambda found: found[1] != "lexical")
        assert thread == threading.current_thread().name
        return found

    first = await retrieved("cat tea")
    assert searched == ["lexical"]
    assert await by_the_event_loop("cat tea") == first
    among = np.array([each.passage_id for each in first.passages[1:]], np.uint64)
    among.sort()
    assert (await by_the_event_loop("cat tea", among)).passages == first.passages[1:]
    for query in ('"the cat"', "cat -dogs", "minutes"):  # signs, and a word that is not in memory
        await retrieved(query)
        assert searched[-1] == "lexical"
    await store.delete("default", "cat")
    assert len((await retrieved("cat tea")).passages) == len(first.passages) - 1
    assert searched[-1] == "lexical"
    await asyncio.to_thread(lexical.close)
    with pytest.raises(NotReady):
        await retrieved("cat tea")


async def test_over_the_bound_a_lexical_search_is_refused_and_one_whose_time_is_up_is_not_run(
    store: SqliteStore, tmp_path: Path
):
    await ingest(store, [document(*item) for item in TEXTS.items()])
    searched: list[float] = []
    lexical = lexical_thread(tmp_path, answer_limits(), max_queued=2, on_search=searched.append)
    lexical.start().result(WAIT_SECONDS)
    gate = asyncio.Event()
    held = asyncio.get_running_loop()
    lexical._tasks.put(lambda: asyncio.run_coroutine_threadsafe(gate.wait(), held).result(WAIT_SECONDS) and None)
    hurried = asyncio.create_task(lexical.search("default", "tea", 5, timeout=0.01))
    patient = asyncio.create_task(lexical.search("default", "tea", 5, timeout=WAIT_SECONDS))
    await turns()
    with pytest.raises(Overloaded, match="TANDEM_MAX_QUEUED_QUERIES"):
        await lexical.search("default", "tea", 5, timeout=WAIT_SECONDS)
    with pytest.raises(DeadlineExceeded, match="not done in time"):
        await hurried
    gate.set()
    assert [hit.doc_id for hit in await patient] == ["tea"]
    assert len(searched) == 1
    await asyncio.to_thread(lexical.close)


async def test_answers_are_bounded_and_hold_their_memory_until_they_are_forgotten(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}", f"zebra {number} " + "x" * 100_000) for number in range(8)])
    limits = AnswerLimits(450_000, MemoryBudget(500_000, "TANDEM_SOMETHING"))
    lexical = lexical_thread(tmp_path, limits)
    lexical.start().result(WAIT_SECONDS)
    with pytest.raises(InvalidRequest, match="TANDEM_MAX_ANSWER_BYTES") as caught:
        await lexical.search("default", "zebra", 5, timeout=WAIT_SECONDS)
    assert (caught.value.code, caught.value.param) == ("limit_exceeded", "top_k")
    first = await lexical.search("default", "zebra", 4, timeout=WAIT_SECONDS)
    assert len(first) == 4
    assert 300_000 < limits.memory.held < 500_000
    with pytest.raises(Overloaded, match="TANDEM_SOMETHING"):
        await lexical.search("default", "zebra", 4, timeout=WAIT_SECONDS)
    del first
    await eventually_free(limits.memory)
    assert len(await lexical.search("default", "zebra", 4, timeout=WAIT_SECONDS)) == 4
    lexical.close()


async def eventually_free(memory: MemoryBudget) -> None:
    async def held() -> int:
        return memory.held

    await eventually(held, lambda bytes: bytes == 0)


async def test_the_idle_thread_keeps_neither_its_last_answer_nor_its_last_error(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("long", "zebra " + "x" * 100_000)])
    limits = answer_limits()
    lexical = lexical_thread(tmp_path, limits)
    lexical.start().result(WAIT_SECONDS)
    gc.disable()
    try:
        assert len(await lexical.search("default", "zebra", 1, timeout=WAIT_SECONDS)) == 1
        await eventually_free(limits.memory)
        errors: list[weakref.ref[BaseException]] = []

        class Failure(Exception):
            pass

        def fail(*_: object) -> list[Hit]:
            failure = Failure()
            errors.append(weakref.ref(failure))
            try:
                raise failure
            finally:
                del failure

        lexical._require_follower().search = fail  # type: ignore[method-assign]
        with contextlib.suppress(Failure):  # pytest.raises would keep the error
            await lexical.search("default", "zebra", 1, timeout=WAIT_SECONDS)
        assert len(errors) == 1

        async def alive() -> bool:
            return errors[0]() is not None

        await eventually(alive, lambda there: not there)
    finally:
        gc.enable()
    lexical.close()
