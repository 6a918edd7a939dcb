"""Queries become vectors: texts of several callers share a call, and each caller has its own vectors and deadline."""

import asyncio
import logging
from collections.abc import Sequence

import numpy as np
import pytest

from tandem_gateway.errors import DeadlineExceeded, EmbedderRejected, Overloaded
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.query_embedder import QueryEmbedder, QueryEmbedderEvents
from tandem_gateway.use_cases.waiting_query import Query
from tests.support.fakes import FINGERPRINT, MODEL, FakeEmbedder, turns, vector_of
from tests.support.freed import assert_gone, failure_of, no_collector


class QueriesFixture:
    """``QueryEmbedder`` over a fake, and the events that it reported."""

    def __init__(self, *, batch: int = 8, calls: int = 1, max_queued: int = 100, kept: int = 0) -> None:
        self.embedder = FakeEmbedder()
        self.sizes: list[int] = []
        self.hits = 0
        self.use_case = QueryEmbedder(
            self.embedder,
            coalescing=CoalescingLimits(batch, calls),
            max_queued=max_queued,
            cached_vectors=kept,
            events=QueryEmbedderEvents(self.sizes.append, self._hit),
        )

    def _hit(self) -> None:
        self.hits += 1

    def embed(
        self, *texts: str, timeout: float = 30.0, fingerprint: str | None = None
    ) -> "asyncio.Task[list[QueryVector]]":
        return asyncio.create_task(self.use_case.embed(texts, timeout=timeout, fingerprint=fingerprint))


async def test_each_text_gets_its_vector_in_order_with_its_model_and_coverage():
    fixture = QueriesFixture()
    fixture.embedder.coverage = lambda text: Coverage(truncated=text == "long")
    found = await fixture.embed("one", "long", "one")
    for text, vector in zip(("one", "long", "one"), found, strict=True):
        np.testing.assert_array_equal(vector.vector, vector_of(text))
        assert (vector.model, vector.fingerprint) == (MODEL, FINGERPRINT)
        assert (vector.coverage, vector.tokens) == (Coverage(truncated=text == "long"), len(text))
    assert fixture.embedder.calls == [["one", "long"]]
    assert fixture.embedder.kinds == [("query", "interactive")]


async def test_callers_that_arrive_during_a_call_share_the_next_one():
    fixture = QueriesFixture()
    fixture.embedder.hold()
    first = fixture.embed("first")
    await fixture.embedder.wait_calls(1)
    others = [fixture.embed("a", "b"), fixture.embed("c", "a")]
    await turns()
    assert fixture.use_case.queued == 4
    fixture.embedder.release()
    await first
    for texts, found in zip(("ab", "ca"), await asyncio.gather(*others), strict=True):
        for text, vector in zip(texts, found, strict=True):
            np.testing.assert_array_equal(vector.vector, vector_of(text))
    assert fixture.embedder.calls == [["first"], ["a", "b", "c"]]
    assert fixture.sizes == [1, 4]


async def test_more_texts_than_a_call_takes_go_out_in_several():
    fixture = QueriesFixture(batch=2)
    found = await fixture.embed("a", "b", "c", "d", "e")
    assert fixture.embedder.calls == [["a", "b"], ["c", "d"], ["e"]]
    assert [float(each.vector[0]) for each in found] == [float(vector_of(text)[0]) for text in "abcde"]


async def test_the_preferred_model_is_passed_on_and_only_its_vectors_come_from_the_cache():
    fixture = QueriesFixture(kept=4)
    await fixture.embed("a", fingerprint=FINGERPRINT)
    assert fixture.embedder.wanted == [FINGERPRINT]
    (again, new) = await fixture.embed("a", "b", fingerprint=FINGERPRINT)
    np.testing.assert_array_equal(again.vector, vector_of("a"))
    assert (again.model, again.tokens, new.tokens) == (MODEL, 1, 1)
    assert fixture.embedder.calls == [["a"], ["b"]]
    assert fixture.hits == 1
    await fixture.embed("a", fingerprint="another")
    await fixture.embed("a")
    assert fixture.embedder.calls[2:] == [["a"], ["a"]]
    assert (fixture.use_case.has(FINGERPRINT, "a"), fixture.use_case.has("another", "a")) == (True, False)
    assert not fixture.use_case.has(None, "a")


async def test_known_texts_need_no_embedder():
    fixture = QueriesFixture(kept=4)
    await fixture.embed("a", "b")
    fixture.embedder.unavailable = True
    assert len(await fixture.embed("b", "a", "b", fingerprint=FINGERPRINT)) == 3
    assert fixture.hits == 2


async def test_the_deadline_ends_the_wait_and_leaves_no_place_in_the_queue():
    fixture = QueriesFixture()
    fixture.embedder.hold()
    first = fixture.embed("first")
    await fixture.embedder.wait_calls(1)
    with pytest.raises(DeadlineExceeded, match="not embedded in time"):
        await fixture.embed("a", "b", timeout=0.01)
    assert fixture.use_case.queued == 0
    fixture.embedder.release()
    await first
    assert fixture.embedder.calls == [["first"]]
    assert 0 < fixture.embedder.timeouts[0] <= 30.0


async def test_without_time_the_embedder_is_not_asked():
    fixture = QueriesFixture()
    with pytest.raises(DeadlineExceeded):
        await fixture.embed("a", timeout=0.0)
    assert fixture.embedder.calls == []


async def test_a_caller_that_is_cancelled_leaves_no_place_in_the_queue():
    fixture = QueriesFixture()
    fixture.embedder.hold()
    first = fixture.embed("first")
    await fixture.embedder.wait_calls(1)
    abandoned, patient = fixture.embed("a", "b"), fixture.embed("c")
    await turns()
    abandoned.cancel()
    await turns()
    assert fixture.use_case.queued == 1
    fixture.embedder.release()
    await asyncio.gather(first, patient)
    assert fixture.embedder.calls == [["first"], ["c"]]


async def test_over_the_bound_texts_are_refused_and_known_ones_need_no_place():
    fixture = QueriesFixture(max_queued=2, kept=4)
    await fixture.embed("known")
    fixture.embedder.hold()
    sent = fixture.embed("sent")
    await fixture.embedder.wait_calls(2)
    waiting = fixture.embed("a")
    await turns()
    with pytest.raises(Overloaded, match="1 searches wait already, the limit is 2"):
        await fixture.embed("b", "c")
    assert len(await fixture.embed("known", fingerprint=FINGERPRINT)) == 1
    more = fixture.embed("known", "d", fingerprint=FINGERPRINT)
    await turns()
    assert fixture.use_case.queued == 2
    fixture.embedder.release()
    await asyncio.gather(sent, waiting, more)


async def test_an_error_in_one_of_a_callers_calls_fails_the_caller_and_no_other():
    fixture = QueriesFixture(batch=2, calls=3)
    fixture.embedder.hold()
    both = fixture.embed("good", "fine", "bad", "worse")
    other = fixture.embed("other")
    await fixture.embedder.wait_calls(3)
    fixture.embedder.rejected = lambda text: text in ("bad", "worse")
    fixture.embedder.release()
    with pytest.raises(EmbedderRejected):
        await both
    assert len(await other) == 1
    await fixture.use_case.drain()
    assert fixture.use_case.queued == 0


async def test_an_error_reaches_every_caller_and_the_next_is_answered(caplog: pytest.LogCaptureFixture):
    fixture = QueriesFixture()
    fixture.embedder.surprise = KeyError("a bug")
    seen = await asyncio.gather(fixture.embed("a"), fixture.embed("b", "c"), return_exceptions=True)
    assert [type(error) for error in seen] == [KeyError, KeyError]
    assert "a batch of searches failed" in caplog.messages
    fixture.embedder.surprise = None
    assert len(await fixture.embed("again")) == 1


async def test_a_receiver_gets_its_queries_of_a_call_as_one_batch_beside_other_callers():
    fixture = QueriesFixture()
    batches: list[list[str]] = []

    async def deliver(queries: Sequence[Query], vectors: Sequence[QueryVector]) -> None:
        batches.append([query.text for query in queries])
        for query, found in zip(queries, vectors, strict=True):
            assert query.answer is not None
            query.answer.set_result(float(found.vector[0]))

    def query(text: str) -> Query:
        return Query(asyncio.get_running_loop().create_future(), text, None, deliver, None, None, None)

    fixture.embedder.hold()
    first = fixture.embed("first")
    await fixture.embedder.wait_calls(1)
    queries = [query("a"), query("b")]
    futures = [each.answer for each in queries]
    fixture.use_case.submit(queries[0], 30.0)
    vectors = fixture.embed("c")
    await turns()
    fixture.use_case.submit(queries[1], 30.0)
    withdrawn = query("d")
    fixture.use_case.withdraw(fixture.use_case.submit(withdrawn, 30.0))
    fixture.embedder.release()
    assert await asyncio.gather(*futures) == [float(vector_of(text)[0]) for text in "ab"]  # type: ignore[arg-type]
    await asyncio.gather(first, vectors)
    assert fixture.embedder.calls == [["first"], ["a", "c", "b"]]
    assert batches == [["a", "b"]]


async def test_a_receiver_that_breaks_fails_its_queries(caplog: pytest.LogCaptureFixture):
    async def deliver(queries: Sequence[Query], vectors: Sequence[QueryVector]) -> None:
        raise KeyError("a bug")

    fixture = QueriesFixture()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    fixture.use_case.submit(Query(answer, "a", None, deliver, None, None, None), 30.0)
    with pytest.raises(KeyError):
        await answer
    assert "a batch of searches failed" in caplog.messages


async def test_drain_returns_when_no_call_is_left():
    fixture = QueriesFixture()
    fixture.embedder.hold()
    asked = fixture.embed("q")
    await fixture.embedder.wait_calls(1)
    draining = asyncio.create_task(fixture.use_case.drain())
    await turns()
    assert not draining.done()
    fixture.embedder.release()
    await draining
    await asked


@pytest.mark.parametrize("error", ["unavailable", "late"])
async def test_a_failed_caller_frees_its_memory_at_once(error: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL)
    fixture = QueriesFixture(batch=1, calls=2)
    fixture.embedder.unavailable = error == "unavailable"
    if error == "late":
        fixture.embedder.hold()
    with no_collector():
        await assert_gone(await failure_of(lambda: fixture.use_case.embed(["a", "b", "c"], timeout=0.05)))
    fixture.embedder.release()
    await fixture.use_case.drain()
