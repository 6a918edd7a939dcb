"""The embedding queue in SQLite: what a claim costs, concurrent writes, damage, and a restart.

The behaviour that all queues share is tested in ``tests/gateway/ports``.
"""

import asyncio
from pathlib import Path

import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite import embedding_queue
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.records.documents import PendingBatch
from tests.support.fakes import FINGERPRINT
from tests.support.stores import NOW, claimed, complete, damage, document, ingest, opened

LARGE = Limits(collections=400, pending_documents=10**6, finished_jobs=1000)


class Steps:
    """Counts the steps of SQLite's virtual machine in reads; the same on any machine."""

    def __init__(self, store: SqliteStore) -> None:
        self.count = 0
        store._reader._connection.set_progress_handler(self._step, 1)

    def _step(self) -> None:
        self.count += 1

    async def of_a_claim(self, store: SqliteStore, without: set[int] | None = None) -> tuple[str, int]:
        """Claim 4 documents; return their collection and the number of steps."""
        before = self.count
        batch = await store.queue.claim("test", 4, 60.0, without or set())
        assert batch is not None
        return batch.collection, self.count - before


async def accept(store: SqliteStore, collection: str, count: int, first: int = 0) -> None:
    documents = [document(f"{collection}-{number:06}") for number in range(first, first + count)]
    await store.accept(f"{collection}-{first}", collection, documents, NOW)


def test_a_claim_reads_indexes_of_the_pending_documents_alone(store: SqliteStore, tmp_path: Path):
    connection = connect(tmp_path / FILE_NAME, writable=False)
    values = {"collection_id": 1, "space_id": 1, "first": 1, "last": 9, "count": 32}
    found = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {embedding_queue._PENDING}", values)]
    connection.close()
    assert [line.replace("COVERING ", "") for line in found] == [
        "SEARCH d USING INDEX documents_waiting (collection_id=? AND document_id>? AND document_id<?)",
        "SEARCH p USING INDEX passages_document (document_id=?)",
        "CORRELATED SCALAR SUBQUERY 1",
        "SEARCH v USING INDEX vectors_passage (passage_id=? AND space_id=?)",
    ]


async def test_a_claim_of_a_small_collection_costs_the_same_behind_few_and_many_documents(tmp_path: Path):
    costs = []
    for size in (2000, 6000):
        folder = tmp_path / str(size)
        folder.mkdir()
        with opened(folder, LARGE) as store:
            await accept(store, "large", size)
            await accept(store, "small", 8)
            steps = Steps(store)
            claims = [await steps.of_a_claim(store) for _ in range(4)]
            assert [name for name, _ in claims] == ["large", "small", "large", "small"]
            costs.append([cost for _, cost in claims])
    assert costs[0] == costs[1]


async def test_a_claim_with_three_hundred_collections_is_a_few_steps_for_each(tmp_path: Path):
    with opened(tmp_path, LARGE) as store:
        await accept(store, "large", 3000)
        for first in range(0, 300, 50):  # together, because they share commits
            await asyncio.gather(*(accept(store, f"c{number:03}", 2) for number in range(first, first + 50)))
        steps = Steps(store)
        claims = [await steps.of_a_claim(store) for _ in range(301)]
        assert {name for name, _ in claims} == {"large", *(f"c{number:03}" for number in range(300))}
        assert max(cost for _, cost in claims) < 300 * 27 + 1000


async def test_the_documents_of_others_in_between_cost_nothing(tmp_path: Path):
    costs = {}
    for between in (50, 2000):
        folder = tmp_path / str(between)
        folder.mkdir()
        with opened(folder, LARGE) as store:
            await accept(store, "second", 50)
            await accept(store, "first", between)
            await accept(store, "second", 50, first=50)
            steps = Steps(store)
            claims = [await steps.of_a_claim(store) for _ in range(30)]
            costs[between] = [cost for name, cost in claims if name == "second"]
    assert costs[50][:10] == costs[2000][:10]


async def test_passages_that_are_given_back_or_come_later_are_found_in_order(store: SqliteStore):
    await accept(store, "c", 6)
    await accept(store, "d", 3)
    await accept(store, "c", 3, first=6)
    number = next(record.collection_id for record in await store.collections() if record.name == "d")

    async def claim() -> PendingBatch:
        batch = await store.queue.claim("test", 2, 60.0, {number})
        assert batch is not None
        return batch

    first, second, third = await claim(), await claim(), await claim()
    assert await complete(store, second) == 2
    await store.queue.release("test", [waiting.passage_id for waiting in first.passages])
    fourth, fifth = await claim(), await claim()
    assert fourth.passages == first.passages
    texts = [waiting.text for batch in (third, fifth) for waiting in batch.passages]
    assert texts == [f"text of c-{number:06}" for number in (4, 5, 6, 7)]


async def test_a_document_completed_during_a_claims_read_is_not_in_the_claim(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    await accept(store, "c", 3)
    held = await claimed(store, 2)
    read, completed = asyncio.Event(), asyncio.Event()
    real = store.queue._read

    async def slow(statement: object) -> object:
        found = await real(statement)  # type: ignore[arg-type]
        read.set()
        await completed.wait()
        return found

    monkeypatch.setattr(store.queue, "_read", slow)
    claiming = asyncio.create_task(store.queue.claim("test", 9, 60.0))
    await read.wait()
    assert await complete(store, held) == 2
    completed.set()
    batch = await claiming
    assert batch is not None
    assert [waiting.text for waiting in batch.passages] == ["text of c-000002"]


async def test_a_damaged_document_comes_alone_and_without_its_text(store: SqliteStore):
    await accept(store, "a", 4)
    damage(store, "a-000001")
    batches = [await claimed(store, 10) for _ in range(3)]
    assert [[(each.text, each.damaged) for each in batch.passages] for batch in batches] == [
        [("text of a-000000", False)],
        [("", True)],
        [("text of a-000002", False), ("text of a-000003", False)],
    ]


async def test_a_damaged_document_takes_no_turn_from_other_collections(store: SqliteStore):
    await accept(store, "a", 2)
    await accept(store, "b", 2)
    damage(store, "a-000000")
    outcomes: list[tuple[str, bool]] = []
    for _ in range(4):
        batch = await claimed(store, 1)
        (passage,) = batch.passages
        outcomes.append((batch.collection, passage.damaged))
        if passage.damaged:
            await store.queue.fail(passage.passage_id, "damaged")
        else:
            await complete(store, batch)
    assert outcomes == [("a", True), ("b", False), ("a", False), ("b", False)]


async def test_a_restart_frees_every_lease_and_forgets_the_attempts(tmp_path: Path):
    with opened(tmp_path) as store:
        await ingest(store, [document("there")])
        await store.accept("job2", "default", [document("a"), document("b")], NOW)
        held = await claimed(store)
        await store.queue.release("test", [held.passages[0].passage_id], suspect=True)
    with opened(tmp_path) as store:
        again = await claimed(store)
        assert [(waiting.text, waiting.attempts) for waiting in again.passages] == [("text of a", 0), ("text of b", 0)]
        assert again.fingerprint == FINGERPRINT


async def test_claims_and_releases_write_nothing(store: SqliteStore):
    await accept(store, "c", 5)
    commits = store.commits
    held = await claimed(store, 2)
    rows = [waiting.passage_id for waiting in held.passages]
    await store.queue.extend("test", rows, 60.0)
    await store.queue.release("test", rows, suspect=True)
    assert store.commits == commits
