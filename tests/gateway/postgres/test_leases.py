"""Several gateways share one queue: leases, a worker that outlives its lease, and answers that are lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg

from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.lanes import Lane
from tandem_gateway.records.documents import PendingBatch
from tests.gateway.ports.queues import embedded, rows, texts
from tests.gateway.postgres.conftest import OpenStore
from tests.support.fakes import eventually
from tests.support.stores import NOW, document


async def test_two_gateways_share_no_passage(open_store: OpenStore):
    one, two = open_store(), open_store()
    await one.accept("job", "default", [document(f"d{number:02}") for number in range(40)], NOW)
    claims = [store.queue.claim(f"w{number}", 4, 60.0) for number in range(5) for store in (one, two)]
    batches = await asyncio.gather(*claims)
    taken = [text for batch in batches for text in texts(batch)]
    assert sorted(taken) == [f"text of d{number:02}" for number in range(40)]
    assert await one.queue.claim("w", 4, 60.0) is None
    assert await two.queue.claim("w", 4, 60.0) is None


async def test_gateways_take_turns_among_the_collections_together(open_store: OpenStore):
    one, two = open_store(), open_store()
    for name in ("a", "b"):
        await one.accept(f"job-{name}", name, [document(f"{name}{number}") for number in range(4)], NOW)
    served = []
    for store in (one, two, one, two):
        batch = await store.queue.claim("worker", 2, 60.0)
        assert batch is not None
        served.append(batch.collection)
        await store.queue.complete(embedded(batch))
    assert served == ["a", "b", "a", "b"]


async def test_a_worker_that_completes_after_its_lease_has_no_second_effect(open_store: OpenStore):
    slow, fast = open_store(), open_store()
    await slow.accept("job", "default", [document("a"), document("a"), document("b")], NOW)
    late = await slow.queue.claim("slow", 10, 0.0)
    taken: list[PendingBatch] = []

    async def claimed() -> int:
        """A passage whose lease ran out comes alone, with an attempt; the lease runs by the database's clock."""
        batch = await fast.queue.claim("fast", 10, 60.0)
        if batch is not None:
            taken.append(batch)
        return len(taken)

    await eventually(claimed, lambda count: count == 2)
    assert [(each.text, each.attempts) for batch in taken for each in batch.passages] == [
        ("text of a", 1),
        ("text of b", 1),
    ]
    assert [await fast.queue.complete(embedded(batch)) for batch in taken] == [1, 1]
    assert await slow.queue.complete(embedded(late)) == 0
    await slow.queue.fail(rows(late)[0], "late")
    job = await slow.job("job")
    assert job is not None
    assert (job.processed, job.failed, job.total) == (3, 0, 3)
    assert job.finished_at is not None


async def test_the_attempts_of_a_text_that_kills_gateways_are_kept(open_store: OpenStore):
    await open_store().accept("job", "default", [document("poison")], NOW)
    for attempt in range(3):
        store = open_store()  # a gateway that dies with the text
        batch: list[PendingBatch] = []

        async def claimed(store: Any = store, batch: list[PendingBatch] = batch) -> bool:
            found = await store.queue.claim("worker", 10, 0.0)
            batch += [found] if found is not None else []
            return found is not None

        await eventually(claimed, bool)
        assert [each.attempts for each in batch[0].passages] == [attempt]


def _answer_lost(lane: Lane, monkeypatch: Any) -> list[int]:
    """Let the lane lose the connection after each statement's first success; return the numbers of calls."""
    calls = [0]
    run = lane._run

    def losing(call: Any, statement: Callable[[Connection], Any], *, repeatable: bool, **more: Any) -> Any:
        first = True

        def once(connection: Connection) -> Any:
            nonlocal first
            calls[0] += 1
            found = statement(connection)
            if first:
                first = False
                connection.close()
                raise psycopg.OperationalError("the connection is lost")
            return found

        return run(call, once, repeatable=repeatable, **more)

    monkeypatch.setattr(lane, "_run", losing)
    return calls


async def test_an_ingest_whose_answer_was_lost_is_repeated_without_a_second_effect(
    open_store: OpenStore, monkeypatch: Any
):
    store = open_store()
    calls = _answer_lost(store._writing, monkeypatch)
    job = await store.accept("job", "default", [document("a"), document("b")], NOW)
    assert (job.job_id, job.total, job.processed, calls[0]) == ("job", 2, 0, 2)
    (record,) = await store.collections()
    assert (record.live, record.pending) == (0, 2)


async def test_vectors_whose_answer_was_lost_are_stored_once(open_store: OpenStore, monkeypatch: Any):
    store = open_store()
    await store.accept("job", "default", [document("a"), document("b")], NOW)
    batch = await store.queue.claim("worker", 10, 60.0)
    calls = _answer_lost(store._writing, monkeypatch)
    assert await store.queue.complete(embedded(batch)) == 0
    assert calls[0] == 2
    job = await store.job("job")
    assert job is not None
    assert (job.processed, job.finished_at is not None) == (2, True)


async def test_two_tries_of_one_ingest_at_the_same_time_are_one_job(open_store: OpenStore):
    one, two = open_store(), open_store()
    tries = [store.accept("job", "default", [document("a")], NOW) for store in (one, two) * 10]
    jobs = await asyncio.gather(*tries)
    assert {(job.job_id, job.total) for job in jobs} == {("job", 1)}
    (record,) = await one.collections()
    assert record.pending == 1
