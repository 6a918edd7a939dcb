"""Search: queries that wait for each other's calls go out together, and each has an end of its own."""

import asyncio

import numpy as np
import pytest

from tandem_contract.client_api import SearchRequest
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderUnavailable,
    FingerprintMismatch,
    InvalidRequest,
    NotFound,
    Overloaded,
)
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.search import Hit
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.dense_search import DenseSearch, DenseSearchEvents
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_gateway.use_cases.vector_cache import QueryVectorCache
from tandem_runtime import logs, trace
from tests.support.fakes import FINGERPRINT, FakeEmbedder, FakeSearchable, turns, vector_of

LIMITS = RequestLimits(documents=1, text_chars=1, metadata_bytes=1, query_chars=50, top_k=10)


class Bench:
    """A search over fakes."""

    def __init__(
        self, *, batch: int = 8, calls: int = 1, max_queued: int = 100, timeout: float = 30.0, kept: int = 0
    ) -> None:
        self.embedder = FakeEmbedder()
        self.index = FakeSearchable()
        self.sizes: list[int] = []
        self.mismatches = 0
        self.use_case = DenseSearch(
            self.embedder,
            self.index,
            request_limits=LIMITS,
            coalescing=CoalescingLimits(batch, calls),
            max_queued=max_queued,
            timeout=timeout,
            cached_vectors=kept,
            events=DenseSearchEvents(called=self.sizes.append, mismatched=self._mismatch),
        )

    def _mismatch(self) -> None:
        self.mismatches += 1

    def ask(self, query: str, collection: str = "default", timeout: float | None = None) -> "asyncio.Task[list[Hit]]":
        async def hits() -> list[Hit]:
            return (await self.use_case.search(SearchRequest(query, 1, collection), timeout)).hits

        return asyncio.create_task(hits())


async def test_a_lone_query_is_sent_at_once_with_its_vector_and_its_model():
    bench = Bench()
    (hit,) = await bench.ask("what?", "books")
    assert (hit.doc_id, hit.text) == ("in books", "text")
    assert bench.embedder.calls == [["what?"]]
    assert bench.embedder.kinds == [("query", "interactive")]
    ((asked,),) = bench.index.batches
    np.testing.assert_array_equal(asked.vector, vector_of("what?"))
    assert (asked.fingerprint, asked.top_k, asked.collection) == (FINGERPRINT, 1, "books")


async def test_what_arrives_during_a_call_goes_out_as_one_call():
    bench = Bench()
    bench.embedder.hold()
    first = bench.ask("first")
    await bench.embedder.wait_calls(1)
    waiting = [bench.ask(f"q{number}") for number in range(5)]
    await turns()
    assert bench.use_case.queued == 5
    assert bench.embedder.calls == [["first"]]
    bench.embedder.release()
    await asyncio.gather(first, *waiting)
    assert bench.embedder.calls == [["first"], [f"q{number}" for number in range(5)]]
    assert bench.sizes == [1, 5]
    assert bench.use_case.queued == 0
    assert [len(batch) for batch in bench.index.batches] == [1, 5]


async def test_as_many_calls_as_allowed_are_in_flight_and_none_larger_than_allowed():
    bench = Bench(batch=3, calls=2)
    bench.embedder.hold()
    asked = [bench.ask(f"q{number}") for number in range(9)]
    await bench.embedder.wait_calls(2)
    await turns()
    assert [len(call) for call in bench.embedder.calls] == [1, 1]
    assert bench.use_case.queued == 7
    bench.embedder.release()
    await asyncio.gather(*asked)
    assert max(bench.sizes) == 3
    assert sum(bench.sizes) == 9


@pytest.mark.parametrize(
    ("collections", "wanted"),
    [(["a", "a"], "x"), (["a", "same"], "x"), (["a", "b"], None), (["a", "new"], None), (["new"], None)],
)
async def test_the_model_of_the_collections_is_asked_for_if_they_agree(collections: list[str], wanted: str | None):
    bench = Bench()
    bench.index.pinned = {"a": "x", "same": "x", "b": "y"}
    bench.embedder.hold()
    first = bench.ask("first", "a")
    await bench.embedder.wait_calls(1)
    asked = [bench.ask(f"q{number}", name) for number, name in enumerate(collections)]
    await turns()
    bench.embedder.release()
    await asyncio.gather(first, *asked)
    assert bench.embedder.wanted == ["x", wanted]


async def test_each_query_gets_the_answer_to_itself():
    bench = Bench(calls=2)
    bench.embedder.hold()
    asked = [bench.ask(f"q{number}", f"c{number % 4}") for number in range(30)]
    await turns()
    bench.embedder.release()
    answers = await asyncio.gather(*asked)
    for number, (hit,) in enumerate(answers):
        assert hit.doc_id == f"in c{number % 4}"
        assert hit.score == pytest.approx(float(vector_of(f"q{number}")[0]))


async def test_equal_queries_in_one_call_are_embedded_once():
    bench = Bench()
    bench.embedder.hold()
    asked = [bench.ask("first"), *(bench.ask(query, query[-1]) for query in ("same 1", "same 1", "b", "same 1"))]
    await turns()
    bench.embedder.release()
    answers = await asyncio.gather(*asked)
    assert bench.embedder.calls[1] == ["same 1", "b"]
    assert [hit.doc_id for (hit,) in answers[1:]] == ["in 1", "in 1", "in b", "in 1"]


async def test_a_query_whose_time_is_up_leaves_the_queue_and_is_not_sent():
    bench = Bench()
    bench.embedder.hold()
    first = bench.ask("first")
    await bench.embedder.wait_calls(1)
    hurried, patient = bench.ask("hurried", timeout=0.01), bench.ask("patient")
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
        await hurried
    assert bench.use_case.queued == 1
    bench.embedder.release()
    await asyncio.gather(first, patient)
    assert bench.embedder.calls == [["first"], ["patient"]]


async def test_a_query_that_is_abandoned_during_its_call_ends_alone():
    bench = Bench()
    bench.embedder.hold()
    first = bench.ask("first")
    await bench.embedder.wait_calls(1)
    hurried, patient = bench.ask("hurried", timeout=5.0), bench.ask("patient")
    await turns()
    bench.embedder.release()
    await first
    bench.embedder.hold()
    await bench.embedder.wait_calls(2)
    hurried.cancel()
    bench.embedder.release()
    assert (await patient)[0].doc_id == "in default"


async def test_the_setting_bounds_the_callers_time_and_the_embedder_is_told():
    bench = Bench(timeout=2.0)
    await bench.ask("q", timeout=500.0)
    assert 0 < bench.embedder.timeouts[0] <= 2.0
    bench.embedder.hold()
    with pytest.raises(DeadlineExceeded):
        await bench.ask("q", timeout=0.001)
    bench.embedder.release()
    await bench.use_case.drain()


async def test_over_the_bound_a_query_is_refused_and_the_others_are_answered():
    bench = Bench(max_queued=2)
    bench.embedder.hold()
    asked = [bench.ask("sent")]
    await bench.embedder.wait_calls(1)
    asked += [bench.ask("waits 1"), bench.ask("waits 2")]
    await turns()
    with pytest.raises(Overloaded, match="TANDEM_MAX_QUEUED_QUERIES"):
        await bench.ask("too many")
    bench.embedder.release()
    await asyncio.gather(*asked)
    assert (await bench.ask("room again"))[0].doc_id == "in default"


async def test_a_wrong_request_is_refused_before_it_waits():
    bench = Bench()
    with pytest.raises(InvalidRequest, match="query"):
        await bench.ask(" ")
    assert bench.embedder.calls == []


async def test_one_bad_collection_in_a_batch_fails_alone():
    bench = Bench()
    bench.index.errors["gone"] = NotFound("there is no collection 'gone'", param="collection")
    bench.index.errors["other"] = FingerprintMismatch("other", pinned="a", offered="b")
    bench.embedder.hold()
    asked = [bench.ask("first"), bench.ask("q", "gone"), bench.ask("q", "good"), bench.ask("q", "other")]
    await turns()
    bench.embedder.release()
    _, gone, good, other = await asyncio.gather(*asked, return_exceptions=True)
    assert len(bench.index.batches[1]) == 3
    assert isinstance(gone, NotFound)
    assert isinstance(other, FingerprintMismatch)
    assert isinstance(good, list)
    assert bench.mismatches == 1


@pytest.mark.parametrize("stage", ["embedder", "index", "surprise"])
async def test_an_error_reaches_every_waiter_and_the_next_query_is_answered(
    stage: str, caplog: pytest.LogCaptureFixture
):
    bench = Bench()
    bench.embedder.hold()
    asked = [bench.ask(f"q{number}") for number in range(4)]
    await turns()
    if stage == "embedder":
        bench.embedder.unavailable = True
    elif stage == "index":
        bench.index.failure = RuntimeError("the index is broken")
    else:
        bench.embedder.surprise = KeyError("a bug")
    bench.embedder.release()
    seen = await asyncio.gather(*asked, return_exceptions=True)
    expected = {"embedder": EmbedderUnavailable, "index": RuntimeError, "surprise": KeyError}[stage]
    assert [type(error) for error in seen] == [expected] * 4
    bench.embedder.unavailable, bench.embedder.surprise, bench.index.failure = False, None, None
    assert (await bench.ask("again"))[0].doc_id == "in default"
    assert any("a batch of searches failed" in record.message for record in caplog.records) == (stage != "embedder")


async def test_a_waiter_that_gives_up_does_no_harm_to_the_others():
    bench = Bench()
    bench.embedder.hold()
    in_flight, *waiting = [bench.ask(f"q{number}") for number in range(4)]
    await bench.embedder.wait_calls(1)
    in_flight.cancel()
    waiting[1].cancel()
    await turns()
    assert in_flight.cancelled()
    assert bench.use_case.queued == 2
    bench.embedder.release()
    answers = await asyncio.gather(waiting[0], waiting[2])
    assert [hit.doc_id for (hit,) in answers] == ["in default"] * 2
    assert bench.embedder.calls == [["q0"], ["q1", "q3"]]


async def test_drain_returns_when_no_call_is_left():
    bench = Bench()
    bench.embedder.hold()
    asked = bench.ask("q")
    await bench.embedder.wait_calls(1)
    draining = asyncio.create_task(bench.use_case.drain())
    await turns()
    assert not draining.done()
    bench.embedder.release()
    await draining
    await asked
    assert bench.use_case.queued == 0


async def test_a_call_carries_the_request_id_and_the_trace_of_its_first_query_and_the_callers_keep_theirs():
    bench = Bench()
    seen: list[str | None] = []
    traces: list[str | None] = []

    def note(text: str) -> bool:
        seen.append(logs.request_id.get())
        found = trace.current.get()
        traces.append(found and found.trace_id)
        return False

    bench.embedder.rejected = note

    async def asking(request_id: str) -> None:
        logs.request_id.set(request_id)
        if request_id != "two":
            trace.current.set(trace.TraceContext("parent", None, request_id))
        await bench.use_case.search(SearchRequest(request_id))
        assert logs.request_id.get() == request_id

    bench.embedder.hold()
    asked = [asyncio.create_task(asking(name)) for name in ("one", "two", "three")]
    await turns()
    bench.embedder.release()
    await asyncio.gather(*asked)
    assert seen == ["one", "two", "two"]
    assert traces == ["one", None, None]


async def test_a_query_that_comes_again_needs_no_embedder_and_has_the_same_vector():
    bench = Bench(kept=4)
    bench.index.pinned["default"] = FINGERPRINT
    await bench.ask("again")
    bench.embedder.unavailable = EmbedderUnavailable("it is down")
    (hit,) = await bench.ask("again")
    assert hit.doc_id == "in default"
    assert bench.embedder.calls == [["again"]]
    np.testing.assert_array_equal(bench.index.batches[1][0].vector, bench.index.batches[0][0].vector)
    with pytest.raises(EmbedderUnavailable):
        await bench.ask("another")


async def test_known_queries_that_arrive_together_share_a_look_at_the_index():
    bench = Bench(kept=4)
    bench.index.pinned["default"] = FINGERPRINT
    await bench.ask("known")
    await asyncio.gather(*(bench.ask("known") for _ in range(5)))
    assert [len(batch) for batch in bench.index.batches] == [1, 5]


async def test_a_vector_of_another_model_is_not_used():
    bench = Bench(kept=4)
    bench.index.pinned["default"] = "another model"
    await bench.ask("again")
    await bench.ask("again")
    assert bench.embedder.calls == [["again"], ["again"]]


def test_the_query_that_was_not_used_for_longest_is_forgotten():
    vectors = QueryVectorCache(2)
    for text in ("a", "b"):
        vectors.put("model", text, vector_of(text))
    assert vectors.get("model", "a") is not None
    vectors.put("model", "c", vector_of("c"))
    assert [vectors.get("model", text) is not None for text in ("a", "b", "c")] == [True, False, True]
    assert vectors.get("other", "a") is None
    assert len(vectors) == 2
    none = QueryVectorCache(0)
    none.put("model", "a", vector_of("a"))
    assert none.get("model", "a") is None


def test_a_long_query_is_kept_under_its_hash_with_what_its_vector_stands_for():
    vectors = QueryVectorCache(2)
    long, other = "word " * 2_000, "word " * 2_000 + "."
    vectors.put("model", long, vector_of(long), Coverage(truncated=True))
    found = vectors.get("model", long)
    assert found is not None
    assert found[1] == Coverage(truncated=True)
    assert ("model", long) in vectors
    assert vectors.get("model", other) is None
    assert sum(len(part) for key in vectors._vectors for part in key) < 100


async def test_what_a_vector_stands_for_comes_with_the_hits_from_the_embedder_and_from_memory():
    bench = Bench(kept=4)
    bench.index.pinned["default"] = FINGERPRINT
    bench.embedder.coverage = lambda text: Coverage(unknown=1.0) if text == "?" else Coverage(truncated=True)
    for _ in range(2):
        strange, long = await asyncio.gather(
            bench.use_case.search(SearchRequest("?")), bench.use_case.search(SearchRequest("long"))
        )
        assert (strange.coverage, long.coverage) == (Coverage(unknown=1.0), Coverage(truncated=True))
    assert sorted(text for call in bench.embedder.calls for text in call) == ["?", "long"]
