"""Answers of vector search have a limit in bytes, and hold their memory until they are freed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import (
    GatewayError,
    InvalidRequest,
    Overloaded,
)
from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.indexes import Indexes
from tandem_gateway.index.retrieval import VectorRetrieval
from tandem_gateway.index.snapshot_update import Places
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.records.search import Hits
from tandem_runtime.memory import MemoryBudget
from tests.gateway.index.threads import ask, query
from tests.support.fakes import WAIT_SECONDS, answer_limits, eventually
from tests.support.freed import no_collector
from tests.support.stores import document, ingest


def limited(data_dir: Path, limits: AnswerLimits) -> IndexThread:
    thread = IndexThread(
        lambda: SqliteIndexFeed(data_dir / FILE_NAME), Snapshots(data_dir), UsearchGraphFactory(), limits
    )
    thread.start().result(WAIT_SECONDS)
    return thread


async def test_an_answer_over_its_limit_is_refused_and_others_of_its_batch_are_not(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}", f"{number} " + "x" * 100_000) for number in range(8)])
    thread = limited(tmp_path, answer_limits(250_000))
    many, few = ask(thread, [query("anything", 5), query("anything", 2)])
    assert isinstance(many, InvalidRequest)
    assert (many.code, many.param) == ("limit_exceeded", "top_k")
    assert "TANDEM_MAX_ANSWER_BYTES" in str(many)
    assert isinstance(few, Hits)
    assert len(few) == 2
    thread.close()


async def test_answers_hold_their_memory_until_they_are_forgotten(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}", f"{number} " + "x" * 100_000) for number in range(8)])
    limits = AnswerLimits(1 << 20, MemoryBudget(500_000, "TANDEM_SOMETHING"))
    thread = limited(tmp_path, limits)
    (first,) = ask(thread, [query("anything", 4)])
    assert 300_000 < limits.memory.held < 500_000
    (second,) = ask(thread, [query("anything", 4)])
    assert isinstance(second, Overloaded)
    assert "TANDEM_SOMETHING" in str(second)
    del first
    assert limits.memory.held == 0
    (third,) = ask(thread, [query("anything", 4)])
    assert isinstance(third, Hits)
    thread.close()


async def test_a_refused_answer_keeps_no_memory_of_its_batch(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}", f"{number} " + "x" * 100_000) for number in range(8)])
    limits = AnswerLimits(550_000, MemoryBudget(500_000, "TANDEM_SOMETHING"))
    thread = limited(tmp_path, limits)

    async def held() -> int:
        return limits.memory.held

    for refused in (4, 6):  # over the budget, over the limit of one answer
        with no_collector():
            given, error = ask(thread, [query("anything", 3), query("anything", refused)])
            assert isinstance(given, Hits)
            assert isinstance(error, Overloaded | InvalidRequest)
            del given
            # The refusal is still on its way to its client. The index's thread lets go right after its answer.
            await eventually(held, lambda count: count == 0)
            del error
    thread.close()


async def test_a_document_that_is_replaced_meanwhile_is_found_even_if_its_batch_is_too_large(
    store: SqliteStore, tmp_path: Path
):
    await ingest(store, [document("one", "1" * 60_000), document("two", "2" * 60_000), document("new", "replaced")])
    loop = asyncio.get_running_loop()

    class Replacing(Indexes):
        replaced = False

        def candidates(self, queries: Sequence[VectorQuery]) -> list[Candidates | GatewayError]:
            found = super().candidates(queries)
            if not self.replaced:
                self.replaced = True
                newer = ingest(store, [document("new", "replaced", '{"page": 2}')], "newer")
                asyncio.run_coroutine_threadsafe(newer, loop).result(WAIT_SECONDS)
            return found

    def search() -> list[list[str]]:
        feed = SqliteIndexFeed(tmp_path / FILE_NAME)
        indexes = Replacing(Places(feed, Snapshots(tmp_path), UsearchGraphFactory()))
        indexes.load()
        retrieval = VectorRetrieval(indexes, feed, answer_limits(100_000), on_search=lambda seconds, queries: None)
        answers = retrieval.search([query("replaced", 1), query("1" * 60_000, 1), query("2" * 60_000, 1)])
        indexes.close()
        return [[hit.doc_id for hit in answer] if isinstance(answer, Hits) else [] for answer in answers]

    assert await asyncio.to_thread(search) == [["new"], ["one"], ["two"]]
