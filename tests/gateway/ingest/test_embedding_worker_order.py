"""The embedding worker and concurrent changes: other collections, newer versions, failures, its own end."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.use_cases import embedding_pauses, embedding_worker
from tests.gateway.ingest.work import Scenario, Work, working
from tests.support.fakes import FakeEmbedder, eventually
from tests.support.stores import NOW, document, ingest, opened


async def test_collections_with_interleaved_documents_are_all_completed(scenario: Scenario):
    async with scenario(batch=3) as work:
        work.embedder.hold()
        for number in range(12):
            await work.accept(f"job{number}", f"d{number}", f"e{number}", collection=f"c{number % 3}")
        work.embedder.release()
        for number in range(12):
            assert (await work.finished(f"job{number}")).processed == 2
        assert [await work.count(f"c{number}") for number in range(3)] == [(8, 0)] * 3


async def test_a_document_replaced_while_it_is_embedded_gets_the_vector_of_its_new_text(scenario: Scenario):
    async with scenario() as work:
        work.embedder.hold()
        await work.accept("job", "a", "b")
        await work.embedder.wait_calls(1)
        await work.store.accept("job2", "default", [document("a", "newer")], NOW)
        await work.store.delete("default", "b")
        work.task.notify()
        work.embedder.release()
        await work.finished("job2")
        assert (await work.finished("job")).processed == 2
        assert await work.count("default") == (1, 0)
        view = await work.store.document("default", "a")
        assert view is not None
        assert (view.text, view.embedded) == ("newer", True)


async def test_a_collection_deleted_while_it_is_embedded_stops_nothing(scenario: Scenario):
    async with scenario() as work:
        work.embedder.hold()
        await work.accept("job", "a", collection="gone")
        await work.embedder.wait_calls(1)
        await work.store.delete_collection("gone")
        work.embedder.release()
        await work.accept("job2", "b", collection="stays")
        await work.finished("job2")
        assert (await work.job("job")).processed == 1
        assert await work.count("gone") == (0, 0)


async def test_a_task_that_was_ended_is_taken_up_by_the_next(tmp_path: Path):
    with opened(tmp_path) as store:
        held = FakeEmbedder()
        held.hold()
        async with working(store, held) as work:
            await work.accept("job", *(f"d{number}" for number in range(10)))
            await held.wait_calls(2)
    with opened(tmp_path) as store:
        fresh = FakeEmbedder()
        async with working(store, fresh) as work:
            job = await work.finished("job")
            assert (job.processed, job.failed) == (10, 0)
            texts = [text for call in fresh.calls for text in call]
            assert len(set(texts)) == len(texts) == 10


async def test_a_store_that_fails_for_a_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding_pauses, "delay", lambda failures, randomness: 0.0)

    with opened(tmp_path) as store:
        await ingest(store, [document("there")], job_id="before")
        asked = iter(range(100))
        real_claim, real_complete = store.queue.claim, store.queue.complete

        async def claim(*options: object) -> object:
            if next(asked) < 2:
                raise StorageUnavailable("the disk is full")
            return await real_claim(*options)  # type: ignore[arg-type]

        completed = iter(range(100))

        async def complete(batch: object) -> int:
            if next(completed) < 2:
                raise StorageUnavailable("the disk is full")
            return await real_complete(batch)  # type: ignore[arg-type]

        monkeypatch.setattr(store.queue, "claim", claim)
        monkeypatch.setattr(store.queue, "complete", complete)
        async with working(store, FakeEmbedder(), calls=1) as work:
            await work.accept("job", "a", "b")
            job = await work.finished("job")
            assert (job.processed, job.failed) == (2, 0)
            assert set(work.retried) == {"storage", "StorageUnavailable"}


async def test_a_pause_that_ends_between_two_looks_at_the_clock_is_not_taken_for_want_of_work(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
):
    async with scenario() as work:
        clock = [0.0]
        # Each reading of the clock removes the first value; the last one stays.
        read = SimpleNamespace(monotonic=lambda: clock.pop(0) if len(clock) > 1 else clock[0], time=lambda: NOW)
        monkeypatch.setattr(embedding_worker, "time", read)
        monkeypatch.setattr(embedding_pauses, "delay", lambda failures, randomness: 1.0)

        def retried(reason: str) -> None:
            work.embedder.unavailable = False
            clock[:] = [0.999, 1.001]

        work.retry = retried
        work.embedder.unavailable = True
        await work.accept("job", "a")
        assert (await work.finished("job")).processed == 1
        assert clock == [1.001]


@pytest.mark.parametrize("fails", [True, False])
async def test_a_call_that_ends_during_a_read_of_the_store_leaves_no_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
):
    monkeypatch.setattr(embedding_pauses, "delay", lambda failures, randomness: 0.0)

    with opened(tmp_path) as store:
        reads, held, go_on = 0, asyncio.Event(), asyncio.Event()
        real = store.queue.claim

        async def claim(*options: object) -> object:
            nonlocal reads
            reads += 1
            found = await real(*options)  # type: ignore[arg-type]
            if reads == 2:
                held.set()
                await go_on.wait()
            return found

        monkeypatch.setattr(store.queue, "claim", claim)
        embedder = FakeEmbedder()
        embedder.hold()
        await store.accept("job", "default", [document("a"), document("b")], NOW)
        async with working(store, embedder, batch=1) as work:
            await held.wait()
            embedder.unavailable = fails
            embedder.release()
            await eventually(lambda: asyncio.sleep(0, len(work.retried) + sum(work.embedded)), lambda n: n > 0)
            embedder.unavailable = False
            go_on.set()
            assert (await work.finished("job")).processed == 2
            assert len(embedder.calls) == 3 if fails else 2


async def test_a_bug_ends_the_task_instead_of_hiding(tmp_path: Path):
    with opened(tmp_path) as store:
        embedder = FakeEmbedder()
        embedder.surprise = KeyError("a bug")
        work = Work(store, embedder, 4, 2)
        await work.accept("job", "a")
        with pytest.raises(KeyError, match="a bug"):
            await asyncio.wait_for(work.task.run(), 20)
        embedder.surprise = None
        again = asyncio.create_task(work.task.run())
        assert (await work.finished("job")).processed == 1
        again.cancel()
