"""The embedding worker and its leases: its end, the end of another worker, turns of collections, and attempts."""

import asyncio
from contextlib import suppress

import pytest

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.records.documents import JobRecord
from tandem_gateway.use_cases import embedding_pauses, embedding_worker
from tandem_gateway.use_cases.embedding_worker import EmbeddingWorker, is_last_attempt
from tests.gateway.ingest.work import Scenario
from tests.support.fakes import FakeEmbedder, eventually
from tests.support.stores import LIMITS, NOW, document


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(limits=LIMITS, batch_bytes=1 << 20)


async def add(store: MemoryStore, *texts: str) -> None:
    await store.accept("job", "default", [document(text, text) for text in texts], NOW)


async def processed(store: MemoryStore) -> JobRecord:
    job = await store.job("job")
    assert job is not None
    return job


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def claimed(store: MemoryStore) -> list[tuple[str, int]]:
    """Claim everything as another worker; return texts and attempts."""
    found = []
    while (batch := await store.queue.claim("other", 100, 60.0)) is not None:
        found += [(waiting.text, waiting.attempts) for waiting in batch.passages]
    return found


async def test_a_cancelled_worker_gives_its_documents_back(store: MemoryStore):
    embedder = FakeEmbedder()
    embedder.hold()
    await add(store, "1", "2", "3")
    task = asyncio.create_task(EmbeddingWorker(store.queue, embedder, batch=2, calls=2, timeout=5.0).run())
    await embedder.wait_calls(2)
    assert await claimed(store) == []
    await stop(task)
    assert await claimed(store) == [("1", 0), ("2", 0), ("3", 0)]


async def test_a_worker_that_a_bug_ends_gives_its_documents_back(store: MemoryStore):
    embedder = FakeEmbedder()
    embedder.hold()

    def bug(text: str) -> bool:
        if text == "1":
            raise KeyError("a bug")
        return False

    embedder.rejected = bug
    await add(store, "1", "2")
    task = asyncio.create_task(EmbeddingWorker(store.queue, embedder, batch=1, calls=2, timeout=5.0).run())
    await embedder.wait_calls(2)
    embedder.release()
    with pytest.raises(KeyError, match="a bug"):
        await asyncio.wait_for(task, 20)
    left = await claimed(store)
    assert ("1", 0) in left
    assert len(left) + (await processed(store)).processed == 2


async def test_the_documents_of_a_worker_that_died_are_embedded_after_their_lease(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedding_worker, "_LEASE_MARGIN", 0.0)
    embedder = FakeEmbedder()
    await add(store, "1", "2")
    await store.queue.claim("dead", 10, 0.05)
    task = asyncio.create_task(EmbeddingWorker(store.queue, embedder, batch=2, calls=2, timeout=0.05).run())
    await eventually(lambda: processed(store), lambda job: job.processed == 2)
    assert sorted(embedder.calls) == [["1"], ["2"]]
    await stop(task)


async def test_a_small_ingest_does_not_wait_behind_a_large_one(scenario: Scenario):
    async with scenario(calls=1) as work:
        work.embedder.hold()
        await work.accept("large", *(f"l{number:02}" for number in range(40)), collection="large")
        await work.embedder.wait_calls(1)
        await work.accept("small", "s1", "s2", collection="small")
        work.embedder.release()
        await work.finished("small")
        await work.finished("large")
        assert work.embedder.calls[1] == ["text of s1", "text of s2"]
        assert len(work.embedder.calls) == 11


async def test_a_document_that_was_alone_from_the_start_has_five_tries_too(scenario: Scenario):
    async with scenario() as work:
        work.embedder.broken = lambda text: text == "text of bad"
        await work.accept("job", "bad")
        assert (await work.finished("job")).failures == [("bad", "the embedder sent nonsense")]
        assert work.embedder.calls.count(["text of bad"]) == 5


@pytest.mark.parametrize(("together", "most"), [(False, 4), (True, 5)])
def test_a_document_has_five_attempts_alone(together: bool, most: int):
    assert [is_last_attempt(attempts, together=together) for attempts in (most - 1, most, most + 1)] == [
        False,
        True,
        True,
    ]


async def test_a_lease_outlasts_the_question_whether_the_embedder_answers_at_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding_pauses, "delay", lambda failures, randomness: 0.0)
    now = 0.0
    store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20, clock=lambda: now)
    embedder = FakeEmbedder()

    def broken(text: str) -> bool:
        nonlocal now
        now += 0.75 * (5.0 + embedding_worker._LEASE_MARGIN)
        return text == "bad"

    embedder.broken = broken
    await add(store, "bad")
    task = asyncio.create_task(EmbeddingWorker(store.queue, embedder, batch=2, calls=2, timeout=5.0).run())
    await eventually(lambda: processed(store), lambda job: job.failed == 1)
    assert embedder.calls.count(["bad"]) == 5
    await stop(task)


async def test_a_worker_looks_for_documents_that_another_gateway_has_stored(store: MemoryStore):
    embedder = FakeEmbedder()
    worker = EmbeddingWorker(store.queue, embedder, batch=2, calls=2, timeout=5.0, look_seconds=0.01)
    task = asyncio.create_task(worker.run())
    await add(store, "1", "2")  # without a notification
    job = await eventually(lambda: processed(store), lambda job: job.processed == 2)
    assert job.failed == 0
    await stop(task)


async def test_a_worker_goes_on_if_it_cannot_give_back_its_leases(store: MemoryStore, monkeypatch: pytest.MonkeyPatch):
    failed = []

    async def fail(*args: object, **options: object) -> None:
        failed.append(args)
        raise StorageUnavailable("the database is away")

    monkeypatch.setattr(store.queue, "release", fail)
    await add(store, "1", "2", "3")
    task = asyncio.create_task(EmbeddingWorker(store.queue, FakeEmbedder(), batch=1, calls=1, timeout=5.0).run())
    while (await processed(store)).processed < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert failed
    assert not task.done()
    await stop(task)


async def test_leases_that_an_outage_kept_are_given_back_once_the_store_answers(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
):
    """Without that, the documents in calls would wait for the end of their leases, which is two minutes away."""
    refused: list[str] = []
    away = True

    def unless_away(name: str) -> None:
        call = getattr(store.queue, name)

        async def answer(*args: object, **options: object) -> object:
            if away:
                refused.append(name)
                raise StorageUnavailable("the database is away")
            return await call(*args, **options)

        monkeypatch.setattr(store.queue, name, answer)

    embedder = FakeEmbedder()
    embedder.hold()
    await add(store, "1", "2", "3")
    task = asyncio.create_task(EmbeddingWorker(store.queue, embedder, batch=2, calls=2, timeout=60.0).run())
    await embedder.wait_calls(2)
    for name in ("complete", "release", "claim"):
        unless_away(name)
    embedder.release()
    while refused.count("release") < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert refused.count("complete") == 2
    away = False
    job = await eventually(lambda: processed(store), lambda job: job.processed == 3)
    assert job.failed == 0
    await stop(task)
