"""The choice of a search's mode: vector search, keyword search, or keyword search because no embedder answers."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.client_api.search import SearchMode
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    FingerprintMismatch,
    GatewayError,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    StorageUnavailable,
)
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.use_cases import circuit_breaker, search_pipeline
from tandem_gateway.use_cases.result_pages import Answer
from tandem_gateway.use_cases.search_pipeline import dense_seconds
from tests.support.fakes import FINGERPRINT, turns
from tests.support.search_fixtures import PipelineFixture


def by_vectors(answer: Answer) -> bool:
    """Return whether vector search took part in the answer, and check that the answer is whole."""
    assert answer.hits[0].doc_id == ("in books" if answer.mode == "dense" else "word in books")
    assert answer.degraded == (answer.mode == "lexical")
    return answer.mode != "lexical"


async def test_with_an_embedder_auto_and_dense_ask_it_and_lexical_does_not():
    fixture = PipelineFixture()
    assert by_vectors(await fixture.ask("a"))
    assert by_vectors(await fixture.ask("b", "dense"))
    answer = await fixture.ask("c", "lexical")
    assert (answer.mode, answer.degraded) == ("lexical", False)
    assert fixture.embedder.calls == [["a"], ["b"]]
    assert fixture.lexical.asked == [("books", "c", 1)]
    assert (fixture.modes, fixture.degraded) == (["hybrid", "dense", "lexical"], 0)


@pytest.mark.parametrize("error", [EmbedderUnavailable("away"), EmbedderBroken("nonsense"), DeadlineExceeded("late")])
async def test_auto_falls_back_when_no_embedder_answers_and_dense_does_not(error: GatewayError):
    fixture = PipelineFixture()
    fixture.embedder.surprise = error
    answer = await fixture.ask()
    assert (answer.mode, answer.degraded) == ("lexical", True)
    assert not by_vectors(answer)
    with pytest.raises(type(error)):
        await fixture.ask(mode="dense")
    assert (fixture.modes, fixture.degraded) == (["lexical"], 1)


@pytest.mark.parametrize(
    "error", [Overloaded("full"), EmbedderRejected("no"), FingerprintMismatch("books", pinned="a", offered="b")]
)
async def test_an_embedders_own_errors_are_passed_on(error: GatewayError):
    fixture = PipelineFixture()
    fixture.embedder.surprise = error
    for _ in range(2 * circuit_breaker.FAILURES):
        with pytest.raises(type(error)):
            await fixture.ask()
    assert fixture.lexical.asked == []


@pytest.mark.parametrize("error", [NotReady("building"), Overloaded("full"), StorageUnavailable("no disk")])
async def test_if_neither_can_answer_the_embedders_error_is_raised(error: GatewayError):
    fixture = PipelineFixture()
    fixture.embedder.unavailable = True
    fixture.lexical.error = error
    for _ in range(2 * circuit_breaker.FAILURES):
        with pytest.raises(EmbedderUnavailable):
            await fixture.ask()
    with pytest.raises(type(error)):
        await fixture.ask(mode="lexical")


async def test_an_invalid_request_is_reported_by_either_search():
    fixture = PipelineFixture()
    for mode in ("auto", "dense", "lexical"):
        with pytest.raises(InvalidRequest, match="query"):
            await fixture.ask(" ", mode)  # type: ignore[arg-type]
    fixture.embedder.unavailable = True
    fixture.lexical.error = NotFound("there is no collection 'books'", param="collection")
    with pytest.raises(NotFound):
        await fixture.ask()


@pytest.mark.parametrize("mode", ["auto", "dense", "hybrid", "lexical"])
@pytest.mark.parametrize(("timeout", "told"), [(0.3, "300 ms"), (3600.0, "30 s")])
async def test_a_late_search_names_the_deadline_that_was_asked_for_or_set(mode: SearchMode, timeout: float, told: str):
    fixture = PipelineFixture()
    fixture.embedder.surprise = fixture.lexical.error = DeadlineExceeded("a stage was late")
    with pytest.raises(DeadlineExceeded) as raised:
        await fixture.ask(mode=mode, timeout=timeout)
    assert str(raised.value) == f"the search was not answered within {told}: a stage was late"


async def test_a_hung_embedder_leaves_time_for_the_lexical_search():
    fixture = PipelineFixture()
    fixture.embedder.hold()
    answer = await fixture.ask(timeout=0.5)
    assert answer.degraded
    assert 0 < fixture.lexical.timeouts[0] <= 0.5 - dense_seconds(0.5) + 0.001
    fixture.embedder.release()


async def test_an_embedder_that_is_down_is_asked_a_few_times_and_then_by_one_search_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
):
    clock = SimpleNamespace(now=time.monotonic())
    monkeypatch.setattr(search_pipeline, "time", SimpleNamespace(monotonic=lambda: clock.now))

    fixture = PipelineFixture()
    fixture.embedder.unavailable = True
    for number in range(10):
        assert (await fixture.ask(f"q{number}")).degraded
    assert len(fixture.embedder.calls) == circuit_breaker.FAILURES
    with pytest.raises(EmbedderUnavailable):
        await fixture.ask(mode="dense")

    clock.now += circuit_breaker.pause(1)
    fixture.use_case.embedder_is(False)
    assert (await fixture.ask()).degraded
    fixture.use_case.embedder_is(True)
    fixture.embedder.unavailable = False
    fixture.embedder.hold()
    calls = len(fixture.embedder.calls)
    trial = asyncio.create_task(fixture.ask("trial"))
    await fixture.embedder.wait_calls(calls + 1)
    assert (await fixture.ask("meanwhile")).degraded
    fixture.embedder.release()
    assert by_vectors(await trial)
    assert by_vectors(await fixture.ask("afterwards"))


async def test_a_search_of_little_patience_does_not_say_that_the_embedder_is_down():
    fixture = PipelineFixture()
    fixture.embedder.hold()
    answers = [asyncio.create_task(fixture.ask(f"q{n}", timeout=0.02)) for n in range(3 * circuit_breaker.FAILURES)]
    assert all([(await answer).degraded for answer in answers])
    patient = asyncio.create_task(fixture.ask("patient"))
    await turns()
    fixture.embedder.release()
    assert by_vectors(await patient)


async def test_a_query_whose_vector_is_kept_is_dense_without_an_embedder():
    fixture = PipelineFixture(kept=4)
    fixture.index.pinned["books"] = FINGERPRINT
    await fixture.ask("known")
    fixture.embedder.unavailable = True
    for number in range(2 * circuit_breaker.FAILURES):
        await fixture.ask(f"q{number}")
    assert by_vectors(await fixture.ask("known"))
    assert (await fixture.ask("unknown")).degraded, "what needed no embedder says nothing about it"


@given(seconds=st.floats(0.001, 600))
def test_the_greater_part_of_the_time_is_the_embedders(seconds: float):
    assert 0.8 * seconds - 1e-9 <= dense_seconds(seconds) < seconds
    assert seconds - dense_seconds(seconds) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("unknown", "finds", "mode", "hits"),
    [
        (1.0, True, "lexical", 1),
        (1.0, False, "lexical", 0),  # its vector is nearest to other texts that the model cannot read
        (0.6, True, "lexical", 1),
        (0.6, False, "dense", 1),
        (0.5, True, "hybrid", 1),
    ],
)
async def test_a_query_that_the_model_hardly_reads_is_answered_by_its_words(
    unknown: float, finds: bool, mode: str, hits: int
):
    fixture = PipelineFixture()
    fixture.lexical.finds = finds
    fixture.embedder.coverage = lambda text: Coverage(unknown=unknown)
    answer = await fixture.ask()
    assert (answer.mode, len(answer.hits), answer.degraded) == (mode, hits, False)
    assert answer.coverage.unknown == unknown
    assert fixture.unreadable == (unknown > 0.5)
    meant = await fixture.ask(mode="dense")
    assert (meant.mode, meant.coverage.unknown) == ("dense", unknown)


@pytest.mark.parametrize("error", [NotReady("building"), Overloaded("full"), StorageUnavailable("no disk")])
async def test_if_words_cannot_be_searched_a_query_that_is_hardly_read_gets_its_vectors_answer(error: GatewayError):
    fixture = PipelineFixture()
    fixture.lexical.error = error
    fixture.embedder.coverage = lambda text: Coverage(unknown=1.0)
    answer = await fixture.ask()
    assert (answer.mode, answer.degraded, answer.coverage.unknown) == ("dense", True, 1.0)


async def test_a_truncated_query_is_counted_and_reported():
    fixture = PipelineFixture()
    fixture.embedder.coverage = lambda text: Coverage(truncated=True)
    assert (await fixture.ask()).coverage.truncated
    assert fixture.truncated == 1
    assert not (await fixture.ask(mode="lexical")).coverage.truncated


async def test_keyword_search_uses_the_whole_query():
    fixture = PipelineFixture()
    fixture.embedder.coverage = lambda text: Coverage(truncated=True, unknown=1.0)
    answer = await fixture.ask()
    assert (answer.mode, answer.coverage) == ("lexical", Coverage(unknown=1.0))
