"""Vector search: queries that wait for a call share the next one, and each has its own result, error and deadline."""

import asyncio

import numpy as np
import pytest

from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderUnavailable,
    FingerprintMismatch,
    InvalidRequest,
    NotFound,
    Overloaded,
)
from tandem_gateway.records.coverage import Coverage
from tandem_runtime import logs, trace
from tests.support.fakes import FINGERPRINT, eventually, turns, vector_of
from tests.support.search_fixtures import SearchFixture, command


async def test_a_lone_query_is_sent_at_once_with_its_vector_and_its_model():
    fixture = SearchFixture()
    (hit,) = await fixture.ask("what?", "books")
    assert (hit.doc_id, hit.text) == ("in books", "text")
    assert fixture.embedder.calls == [["what?"]]
    assert fixture.embedder.kinds == [("query", "interactive")]
    ((asked,),) = fixture.index.batches
    np.testing.assert_array_equal(asked.vector, vector_of("what?"))
    assert (asked.fingerprint, asked.top_k, asked.collection) == (FINGERPRINT, 1, "books")


async def test_queries_that_arrive_during_a_call_share_the_next_one():
    fixture = SearchFixture()
    fixture.embedder.hold()
    first = fixture.ask("first")
    await fixture.embedder.wait_calls(1)
    waiting = [fixture.ask(f"q{number}") for number in range(5)]
    await turns()
    assert fixture.use_case.queued == 5
    assert fixture.embedder.calls == [["first"]]
    fixture.embedder.release()
    await asyncio.gather(first, *waiting)
    assert fixture.embedder.calls == [["first"], [f"q{number}" for number in range(5)]]
    assert fixture.sizes == [1, 5]
    assert fixture.use_case.queued == 0
    assert [len(batch) for batch in fixture.index.batches] == [1, 5]


async def test_as_many_calls_as_allowed_are_in_flight_and_none_larger_than_allowed():
    fixture = SearchFixture(batch=3, calls=2)
    fixture.embedder.hold()
    asked = [fixture.ask(f"q{number}") for number in range(9)]
    await fixture.embedder.wait_calls(2)
    await turns()
    assert [len(call) for call in fixture.embedder.calls] == [1, 1]
    assert fixture.use_case.queued == 7
    fixture.embedder.release()
    await asyncio.gather(*asked)
    assert max(fixture.sizes) == 3
    assert sum(fixture.sizes) == 9


@pytest.mark.parametrize(
    ("collections", "wanted"),
    [
        (["a", "a"], ["x"]),
        (["a", "same"], ["x"]),
        (["a", "b"], ["x", "y"]),
        (["b", "a", "new"], ["y", "x"]),
        (["new", "a"], ["x"]),
        (["new"], [None]),
    ],
)
async def test_there_is_a_call_for_each_model_of_the_collections(collections: list[str], wanted: list[str | None]):
    fixture = SearchFixture()
    fixture.index.pinned = {"a": "x", "same": "x", "b": "y"}
    fixture.embedder.hold()
    first = fixture.ask("first", "a")
    await fixture.embedder.wait_calls(1)
    asked = [fixture.ask(f"q{number}", name) for number, name in enumerate(collections)]
    await turns()
    fixture.embedder.release()
    await asyncio.gather(first, *asked)
    assert fixture.embedder.wanted == ["x", *wanted]


async def test_each_query_gets_the_answer_to_itself():
    fixture = SearchFixture(calls=2)
    fixture.embedder.hold()
    asked = [fixture.ask(f"q{number}", f"c{number % 4}") for number in range(30)]
    await turns()
    fixture.embedder.release()
    answers = await asyncio.gather(*asked)
    for number, (hit,) in enumerate(answers):
        assert hit.doc_id == f"in c{number % 4}"
        assert hit.score == pytest.approx(float(vector_of(f"q{number}")[0]))


async def test_equal_queries_in_one_call_are_embedded_once():
    fixture = SearchFixture()
    fixture.embedder.hold()
    asked = [fixture.ask("first"), *(fixture.ask(query, query[-1]) for query in ("same 1", "same 1", "b", "same 1"))]
    await turns()
    fixture.embedder.release()
    answers = await asyncio.gather(*asked)
    assert fixture.embedder.calls[1] == ["same 1", "b"]
    assert [hit.doc_id for (hit,) in answers[1:]] == ["in 1", "in 1", "in b", "in 1"]


async def test_a_query_whose_time_is_up_leaves_the_queue_and_is_not_sent():
    fixture = SearchFixture()
    fixture.embedder.hold()
    first = fixture.ask("first")
    await fixture.embedder.wait_calls(1)
    hurried, patient = fixture.ask("hurried", timeout=0.01), fixture.ask("patient")
    with pytest.raises(DeadlineExceeded, match="not done in time"):
        await hurried
    assert fixture.use_case.queued == 1
    fixture.embedder.release()
    await asyncio.gather(first, patient)
    assert fixture.embedder.calls == [["first"], ["patient"]]


async def test_a_query_that_is_abandoned_during_its_call_ends_alone():
    fixture = SearchFixture()
    fixture.embedder.hold()
    first = fixture.ask("first")
    await fixture.embedder.wait_calls(1)
    hurried, patient = fixture.ask("hurried", timeout=5.0), fixture.ask("patient")
    await turns()
    fixture.embedder.release()
    await first
    fixture.embedder.hold()
    await fixture.embedder.wait_calls(2)
    hurried.cancel()
    fixture.embedder.release()
    assert (await patient)[0].doc_id == "in default"


async def test_the_setting_limits_the_callers_timeout_and_the_embedder_gets_it():
    fixture = SearchFixture(timeout=2.0)
    await fixture.ask("q", timeout=500.0)
    assert 0 < fixture.embedder.timeouts[0] <= 2.0
    fixture.embedder.hold()
    with pytest.raises(DeadlineExceeded):
        await fixture.ask("q", timeout=0.001)
    fixture.embedder.release()
    await fixture.use_case.drain()


async def test_over_the_bound_a_query_is_refused_and_the_others_are_answered():
    fixture = SearchFixture(max_queued=2)
    fixture.embedder.hold()
    asked = [fixture.ask("sent")]
    await fixture.embedder.wait_calls(1)
    asked += [fixture.ask("waits 1"), fixture.ask("waits 2")]
    await turns()
    with pytest.raises(Overloaded, match="TANDEM_MAX_QUEUED_QUERIES"):
        await fixture.ask("too many")
    fixture.embedder.release()
    await asyncio.gather(*asked)
    assert (await fixture.ask("room again"))[0].doc_id == "in default"


async def test_a_wrong_request_is_refused_before_it_waits():
    fixture = SearchFixture()
    with pytest.raises(InvalidRequest, match="query"):
        await fixture.ask(" ")
    assert fixture.embedder.calls == []


async def test_one_bad_collection_in_a_batch_fails_alone():
    fixture = SearchFixture()
    fixture.index.errors["gone"] = NotFound("there is no collection 'gone'", param="collection")
    fixture.index.errors["other"] = FingerprintMismatch("other", pinned="a", offered="b")
    fixture.embedder.hold()
    asked = [fixture.ask("first"), fixture.ask("q", "gone"), fixture.ask("q", "good"), fixture.ask("q", "other")]
    await turns()
    fixture.embedder.release()
    _, gone, good, other = await asyncio.gather(*asked, return_exceptions=True)
    assert len(fixture.index.batches[1]) == 3
    assert isinstance(gone, NotFound)
    assert isinstance(other, FingerprintMismatch)
    assert isinstance(good, list)
    assert fixture.mismatches == 1


@pytest.mark.parametrize("stage", ["embedder", "index", "surprise"])
async def test_an_error_reaches_every_waiter_and_the_next_query_is_answered(
    stage: str, caplog: pytest.LogCaptureFixture
):
    fixture = SearchFixture()
    fixture.embedder.hold()
    asked = [fixture.ask(f"q{number}") for number in range(4)]
    await turns()
    if stage == "embedder":
        fixture.embedder.unavailable = True
    elif stage == "index":
        fixture.index.failure = RuntimeError("the index is broken")
    else:
        fixture.embedder.surprise = KeyError("a bug")
    fixture.embedder.release()
    seen = await asyncio.gather(*asked, return_exceptions=True)
    expected = {"embedder": EmbedderUnavailable, "index": RuntimeError, "surprise": KeyError}[stage]
    assert [type(error) for error in seen] == [expected] * 4
    fixture.embedder.unavailable, fixture.embedder.surprise, fixture.index.failure = False, None, None
    assert (await fixture.ask("again"))[0].doc_id == "in default"
    assert any("a batch of searches failed" in record.message for record in caplog.records) == (stage != "embedder")


async def test_a_waiter_that_gives_up_does_no_harm_to_the_others():
    fixture = SearchFixture()
    fixture.embedder.hold()
    in_flight, *waiting = [fixture.ask(f"q{number}") for number in range(4)]
    await fixture.embedder.wait_calls(1)
    in_flight.cancel()
    waiting[1].cancel()
    await turns()
    assert in_flight.cancelled()
    assert fixture.use_case.queued == 2
    fixture.embedder.release()
    answers = await asyncio.gather(waiting[0], waiting[2])
    assert [hit.doc_id for (hit,) in answers] == ["in default"] * 2
    assert fixture.embedder.calls == [["q0"], ["q1", "q3"]]


async def test_drain_returns_when_no_call_is_left():
    fixture = SearchFixture()
    fixture.embedder.hold()
    asked = fixture.ask("q")
    await fixture.embedder.wait_calls(1)
    draining = asyncio.create_task(fixture.use_case.drain())
    await turns()
    assert not draining.done()
    fixture.embedder.release()
    await draining
    await asked
    assert fixture.use_case.queued == 0


async def test_a_call_carries_the_request_id_and_the_trace_of_its_first_query_and_the_callers_keep_theirs():
    fixture = SearchFixture()
    seen: list[str | None] = []
    traces: list[str | None] = []

    def note(text: str) -> bool:
        seen.append(logs.request_id.get())
        found = trace.current.get()
        traces.append(found and found.trace_id)
        return False

    fixture.embedder.rejected = note

    async def asking(request_id: str) -> None:
        logs.request_id.set(request_id)
        if request_id != "two":
            trace.current.set(trace.TraceContext("parent", None, request_id))
        await fixture.use_case.search(command(request_id))
        assert logs.request_id.get() == request_id

    fixture.embedder.hold()
    asked = [asyncio.create_task(asking(name)) for name in ("one", "two", "three")]
    await turns()
    fixture.embedder.release()
    await asyncio.gather(*asked)
    assert seen == ["one", "two", "two"]
    assert traces == ["one", None, None]


async def test_a_query_that_comes_again_needs_no_embedder_and_has_the_same_vector():
    fixture = SearchFixture(kept=4)
    fixture.index.pinned["default"] = FINGERPRINT
    await fixture.ask("again")
    fixture.embedder.unavailable = EmbedderUnavailable("it is down")
    (hit,) = await fixture.ask("again")
    assert hit.doc_id == "in default"
    assert fixture.embedder.calls == [["again"]]
    np.testing.assert_array_equal(fixture.index.batches[1][0].vector, fixture.index.batches[0][0].vector)
    with pytest.raises(EmbedderUnavailable):
        await fixture.ask("another")


async def test_known_queries_that_arrive_together_share_a_look_at_the_index():
    fixture = SearchFixture(kept=4)
    fixture.index.pinned["default"] = FINGERPRINT
    await fixture.ask("known")
    await asyncio.gather(*(fixture.ask("known") for _ in range(5)))
    assert [len(batch) for batch in fixture.index.batches] == [1, 5]


async def test_a_vector_of_another_model_is_not_used():
    fixture = SearchFixture(kept=4)
    fixture.index.pinned["default"] = "another model"
    await fixture.ask("again")
    await fixture.ask("again")
    assert fixture.embedder.calls == [["again"], ["again"]]


async def test_the_coverage_comes_with_the_hits_from_the_embedder_and_from_the_cache():
    fixture = SearchFixture(kept=4)
    fixture.index.pinned["default"] = FINGERPRINT
    fixture.embedder.coverage = lambda text: Coverage(unknown=1.0) if text == "?" else Coverage(truncated=True)
    for _ in range(2):
        strange, long = await asyncio.gather(
            fixture.use_case.search(command("?")), fixture.use_case.search(command("long"))
        )
        assert (strange.coverage, long.coverage) == (Coverage(unknown=1.0), Coverage(truncated=True))
    assert sorted(text for call in fixture.embedder.calls for text in call) == ["?", "long"]


async def test_a_search_during_a_switch_to_another_model_begins_anew_with_that_model():
    fixture = SearchFixture()
    fixture.index.pinned["books"] = FINGERPRINT
    fixture.index.held = True
    asked = fixture.ask("what?", "books")
    await fixture.embedder.wait_calls(1)
    await eventually(lambda: _pending(fixture), bool)
    fixture.index.held = False
    fixture.index.pinned["books"] = fixture.embedder.fingerprint = "e" * 32
    fixture.index.pending[0].set_result([FingerprintMismatch("books", pinned="e" * 32, offered=FINGERPRINT)])
    (hit,) = await asked
    assert hit.doc_id == "in books"
    assert fixture.embedder.wanted == [FINGERPRINT, "e" * 32]
    assert fixture.mismatches == 0


async def test_a_search_begins_anew_only_once():
    fixture = SearchFixture()
    fixture.index.pinned["books"] = FINGERPRINT
    fixture.index.errors["books"] = FingerprintMismatch("books", pinned="e" * 32, offered=FINGERPRINT)
    asked = fixture.ask("what?", "books")
    await turns(1)
    fixture.index.pinned["books"] = "e" * 32
    with pytest.raises(FingerprintMismatch):
        await asked
    assert len(fixture.embedder.calls) == 2
    assert fixture.mismatches == 1


async def _pending(fixture: SearchFixture) -> int:
    return len(fixture.index.pending)
