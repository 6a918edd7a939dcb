"""The worker that embeds stored documents, against an embedder that misbehaves."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import Embeddings
from tandem_gateway.use_cases import embedding_worker
from tests.gateway.ingest.work import Scenario, working
from tests.support.fakes import FINGERPRINT, FakeEmbedder, eventually
from tests.support.reembedding import SAME_SIZE, fill_second
from tests.support.stores import NOW, damage, document, opened


async def test_everything_that_waits_is_embedded_in_batches(scenario: Scenario):
    async with scenario() as work:
        ids = [f"d{number}" for number in range(30)]
        await work.accept("job", *ids)
        job = await work.finished("job")
        assert (job.total, job.processed, job.failed) == (30, 30, 0)
        assert sorted(text for call in work.embedder.calls for text in call) == sorted(f"text of {i}" for i in ids)
        assert max(len(call) for call in work.embedder.calls) == 4
        assert set(work.embedder.kinds) == {("document", "bulk")}
        assert await work.count("default") == (30, 0)
        await eventually(lambda: asyncio.sleep(0, sum(work.embedded)), lambda count: count == 30)


async def test_documents_that_arrive_later_are_embedded_too(scenario: Scenario):
    async with scenario() as work:
        for number in range(4):
            await work.accept(f"job{number}", f"d{number}")
            await work.finished(f"job{number}")
        assert len(work.embedder.calls) == 4


async def test_no_more_calls_than_allowed_and_no_document_in_two(scenario: Scenario):
    async with scenario(calls=3) as work:
        work.embedder.hold()
        await work.accept("job", *(f"d{number}" for number in range(20)))
        await work.embedder.wait_calls(3)
        work.task.notify()
        await work.count("default")
        assert len(work.embedder.calls) == 3
        texts = [text for call in work.embedder.calls for text in call]
        assert len(set(texts)) == len(texts) == 12
        work.embedder.release()
        await work.finished("job")
        assert len(work.embedder.calls) == 5


async def test_so_many_replicas_get_so_many_times_the_calls(scenario: Scenario):
    async with scenario(calls=2) as work:
        work.embedder.hold()
        work.embedder.replicas = 3
        await work.accept("job", *(f"d{number}" for number in range(40)))
        await work.embedder.wait_calls(6)
        work.task.notify()
        await work.count("default")
        assert len(work.embedder.calls) == 6
        work.embedder.release()
        await work.finished("job")


async def test_the_collections_model_is_asked_for_once_it_has_one(scenario: Scenario):
    async with scenario() as work:
        await work.accept("first", "a")
        await work.finished("first")
        await work.accept("second", "b")
        await work.finished("second")
        assert work.embedder.wanted == [None, work.embedder.fingerprint]


async def test_an_embedder_that_does_not_answer_is_waited_for(scenario: Scenario):
    async with scenario() as work:
        work.embedder.unavailable = True
        await work.accept("job", "a", "b")
        await work.embedder.wait_calls(5)
        assert work.task.blocked_reason("default") == "no embedder answers"
        assert (await work.job("job")).processed == 0
        work.embedder.unavailable = False
        job = await work.finished("job")
        assert (job.processed, job.failed) == (2, 0)
        await eventually(lambda: asyncio.sleep(0, work.task.blocked_reason("default")), lambda reason: reason is None)
        assert set(work.retried) == {"EmbedderUnavailable"}


@pytest.mark.parametrize(("switch", "reason"), [("overloaded", "Overloaded"), ("late", "DeadlineExceeded")])
async def test_a_busy_embedder_is_tried_again(scenario: Scenario, switch: str, reason: str):
    async with scenario() as work:
        setattr(work.embedder, switch, True)
        await work.accept("job", "a")
        await work.embedder.wait_calls(3)
        setattr(work.embedder, switch, False)
        assert (await work.finished("job")).failed == 0
        assert set(work.retried) == {reason}


async def test_a_document_for_which_the_embedder_is_too_slow_is_given_up_after_five_tries_alone(scenario: Scenario):
    async with scenario() as work:
        work.embedder.slow = lambda text: text == "text of bad"
        await work.accept("job", "good1", "bad", "good2", "good3")
        job = await work.finished("job")
        assert (job.processed, job.failures) == (4, [("bad", "the embedder took too long for the text")])
        assert work.embedder.calls.count(["text of bad"]) == 5


async def test_a_long_text_has_more_time(scenario: Scenario):
    async with scenario() as work:
        await work.store.accept("job", "default", [document("a"), document("b", "long " * 16_384)], NOW)
        work.task.notify()
        await work.finished("job")
        assert work.embedder.timeouts == [pytest.approx(30.0, abs=0.1)]  # six times


async def test_a_refused_document_fails_alone_with_its_reason(scenario: Scenario):
    async with scenario(batch=8) as work:
        work.embedder.rejected = lambda text: text == "text of d5"
        await work.accept("job", *(f"d{number}" for number in range(8)))
        job = await work.finished("job")
        assert (job.processed, job.failed) == (8, 1)
        assert job.failures == [("d5", "the embedder refuses 'text of d5'")]
        assert await work.count("default") == (7, 0)
        await eventually(lambda: asyncio.sleep(0, work.failed), lambda count: count == 1)
        assert await work.store.document("default", "d5") is None
        assert (await work.store.document("default", "d6")).embedded  # type: ignore[union-attr]


async def test_a_refused_new_version_leaves_the_old_one_findable(scenario: Scenario):
    async with scenario() as work:
        await work.accept("job", "a")
        await work.finished("job")
        work.embedder.rejected = lambda text: text == "new"
        await work.store.accept("job2", "default", [document("a", "new")], NOW)
        work.task.notify()
        assert (await work.finished("job2")).failed == 1
        view = await work.store.document("default", "a")
        assert view is not None
        assert (view.text, view.embedded) == ("text of a", True)


async def test_a_document_at_which_the_embedder_breaks_is_given_up_after_five_tries_alone(
    scenario: Scenario,
):
    async with scenario() as work:
        work.embedder.broken = lambda text: text == "text of bad"
        await work.accept("job", "good1", "bad", "good2", "good3")
        job = await work.finished("job")
        assert (job.processed, job.failed) == (4, 1)
        assert job.failures == [("bad", "the embedder sent nonsense")]
        assert work.embedder.calls.count(["text of bad"]) == 5
        assert await work.count("default") == (3, 0)


async def test_an_embedder_that_breaks_at_every_text_costs_no_document_however_long(scenario: Scenario):
    async with scenario() as work:
        work.embedder.broken = lambda text: True
        await work.accept("job", "a", "b")
        await work.embedder.wait_calls(40)
        assert (await work.job("job")).failed == 0
        assert work.task.blocked_reason("default") == "the embedder sent nonsense"
        work.embedder.broken = lambda text: False
        job = await work.finished("job")
        assert (job.processed, job.failed) == (2, 0)


async def test_an_embedder_that_breaks_for_a_moment_costs_no_document(scenario: Scenario):
    async with scenario(calls=1) as work:
        work.embedder.broken = lambda text: len(work.embedder.calls) < 5
        await work.accept("job", "a", "b", "c")
        job = await work.finished("job")
        assert (job.processed, job.failed) == (3, 0)


async def test_another_model_blocks_only_that_collection_and_reports_it(scenario: Scenario):
    async with scenario() as work:
        await work.accept("old", "a", collection="old")
        await work.finished("old")
        work.embedder.fingerprint = "e" * 32
        await work.accept("job1", "b", "c", collection="old")
        await eventually(lambda: asyncio.sleep(0, work.mismatches), lambda count: count > 0)
        await work.accept("job2", *(f"d{number}" for number in range(10)), collection="new")
        await work.finished("job2")
        assert await work.count("new") == (10, 0)
        assert await work.count("old") == (1, 2)
        reason = work.task.blocked_reason("old")
        assert reason is not None
        assert "f" * 32 in reason
        assert "e" * 32 in reason
        assert work.task.blocked_reason("new") is None
        assert (await work.job("job1")).failed == 0


async def test_a_new_collection_does_not_wait_for_the_reason_of_a_deleted_one_with_its_name(scenario: Scenario):
    async with scenario() as work:
        await work.accept("old", "a", collection="books")
        await work.finished("old")
        work.embedder.fingerprint = "e" * 32
        await work.accept("job1", "b", collection="books")
        await eventually(lambda: asyncio.sleep(0, work.task.blocked_reason("books")), bool)
        await work.store.delete_collection("books")
        work.embedder.unavailable = True
        await work.accept("job2", "c", collection="books")
        await eventually(
            lambda: asyncio.sleep(0, work.task.blocked_reason("books")), lambda reason: reason == "no embedder answers"
        )


async def test_a_damaged_document_fails_with_its_reason_and_the_others_are_embedded(tmp_path: Path):
    with opened(tmp_path) as store:
        await store.accept("job", "default", [document(doc_id) for doc_id in ("a", "b", "c")], NOW)
        damage(store, "b")  # before the worker starts, which would have read it otherwise
        async with working(store, FakeEmbedder()) as work:
            job = await work.finished("job")
            assert (job.processed, job.failed) == (3, 1)
            assert job.failures == [("b", "the stored document is damaged: ingest it again")]
            assert (await work.count("default"), work.failed) == ((2, 0), 1)
            await work.accept("again", "b")
            assert (await work.finished("again")).failed == 0


async def test_a_collection_that_was_stopped_goes_on_with_its_model(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedding_worker, "_MISMATCH_PAUSE", 0.01)

    async with scenario() as work:
        await work.accept("first", "a")
        await work.finished("first")
        right, work.embedder.fingerprint = work.embedder.fingerprint, "e" * 32
        await work.accept("job", "b", "c")
        await eventually(lambda: asyncio.sleep(0, work.mismatches), lambda count: count > 1)
        work.embedder.fingerprint = right
        job = await work.finished("job")
        assert (job.processed, job.failed) == (2, 0)
        await eventually(lambda: asyncio.sleep(0, work.task.blocked_reason("default")), lambda reason: reason is None)


async def test_truncated_and_unreadable_documents_are_counted_in_the_job_and_in_metrics(scenario: Scenario):
    async with scenario() as work:
        known = {"text of d1": Coverage(truncated=True), "text of d3": Coverage(truncated=True, unknown=0.9)}
        work.embedder.coverage = lambda text: known.get(text, WHOLE)
        await work.accept("job", *(f"d{number}" for number in range(6)))
        job = await work.finished("job")
        assert (job.truncated, job.unreadable) == (2, 1)
        # The worker counts after the commit that finishes the job.
        counts = await eventually(
            lambda: asyncio.sleep(0, (sum(work.truncated), sum(work.unreadable))), lambda counts: counts[0] >= 2
        )
        assert counts == (2, 1)
        found = await work.store.document("default", "d3")
        assert found is not None
        assert found.coverage == Coverage(truncated=True, unknown=0.9)


async def test_documents_in_a_call_during_a_switch_are_embedded_again_with_the_new_model(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
):
    async with scenario(calls=1) as work:
        embed = work.embedder.embed

        async def with_the_wanted_model(texts: list[str], **options: Any) -> Embeddings:
            found = await embed(texts, **options)
            return msgspec.structs.replace(found, fingerprint=options["fingerprint"] or FINGERPRINT)

        monkeypatch.setattr(work.embedder, "embed", with_the_wanted_model)
        await work.accept("first", "a")
        await work.finished("first")
        await work.store.reembeddings.start("default", SAME_SIZE)
        await fill_second(work.store)
        work.embedder.hold()
        await work.accept("second", "b")
        await work.embedder.wait_calls(2)
        await work.store.reembeddings.switch("default")
        work.embedder.release()
        job = await work.finished("second")
        assert (job.processed, job.failed) == (1, 0)
        assert work.embedder.wanted[1:] == [FINGERPRINT, SAME_SIZE.fingerprint]
        assert work.mismatches == 0
        assert work.retried == []
