"""Which way a search is answered: dense, lexical, or lexical because no embedder answers."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.client_api import SearchMode, SearchRequest
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
from tandem_gateway.records.search import Hit
from tandem_gateway.use_cases import circuit_breaker, search_pipeline
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.dense_search import DenseSearch
from tandem_gateway.use_cases.search_pipeline import Answer, SearchPipeline, SearchPipelineEvents, dense_seconds
from tests.gateway.unit.test_search import LIMITS
from tests.support.fakes import FINGERPRINT, FakeEmbedder, FakeSearchable, turns


class FakeLexical:
    """Implements ``LexicalIndex``: one hit a search, named after its collection, or the error set."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.timeouts: list[float] = []
        self.error: GatewayError | None = None
        self.finds = True

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        self.asked.append((collection, query, top_k))
        self.timeouts.append(timeout)
        if self.error is not None:
            raise self.error
        return [Hit(f"word in {collection}", 2.5, "text", "{}")] if self.finds else []


class Bench:
    """Both ways over fakes."""

    def __init__(self, *, timeout: float = 30.0, kept: int = 0) -> None:
        self.embedder, self.index, self.lexical = FakeEmbedder(), FakeSearchable(), FakeLexical()
        self.modes: list[str] = []
        self.degraded = 0
        self.truncated = 0
        self.unreadable = 0
        self.use_case = SearchPipeline(
            DenseSearch(
                self.embedder,
                self.index,
                request_limits=LIMITS,
                coalescing=CoalescingLimits(8, 1),
                max_queued=100,
                timeout=timeout,
                cached_vectors=kept,
            ),
            self.lexical,
            request_limits=LIMITS,
            timeout=timeout,
            events=SearchPipelineEvents(self.modes.append, self._degraded, self._truncated, self._unreadable),
        )

    def _degraded(self) -> None:
        self.degraded += 1

    def _truncated(self) -> None:
        self.truncated += 1

    def _unreadable(self) -> None:
        self.unreadable += 1

    async def ask(self, query: str = "q", mode: SearchMode = "auto", timeout: float | None = None) -> Answer:
        return await self.use_case.answer(SearchRequest(query, 1, "books", mode), timeout)


def dense(answer: Answer) -> bool:
    assert answer.hits[0].doc_id == ("in books" if answer.mode == "dense" else "word in books")
    assert answer.mode == "lexical" or not answer.degraded
    return answer.mode == "dense"


async def test_with_an_embedder_auto_and_dense_ask_it_and_lexical_does_not():
    bench = Bench()
    assert dense(await bench.ask("a"))
    assert dense(await bench.ask("b", "dense"))
    answer = await bench.ask("c", "lexical")
    assert (answer.mode, answer.degraded) == ("lexical", False)
    assert bench.embedder.calls == [["a"], ["b"]]
    assert bench.lexical.asked == [("books", "c", 1)]
    assert (bench.modes, bench.degraded) == (["dense", "dense", "lexical"], 0)


@pytest.mark.parametrize("error", [EmbedderUnavailable("away"), EmbedderBroken("nonsense"), DeadlineExceeded("late")])
async def test_auto_falls_back_when_no_embedder_answers_and_dense_does_not(error: GatewayError):
    bench = Bench()
    bench.embedder.surprise = error
    answer = await bench.ask()
    assert (answer.mode, answer.degraded) == ("lexical", True)
    assert not dense(answer)
    with pytest.raises(type(error)):
        await bench.ask(mode="dense")
    assert (bench.modes, bench.degraded) == (["lexical"], 1)


@pytest.mark.parametrize(
    "error", [Overloaded("full"), EmbedderRejected("no"), FingerprintMismatch("books", pinned="a", offered="b")]
)
async def test_what_an_embedder_says_itself_is_passed_on(error: GatewayError):
    bench = Bench()
    bench.embedder.surprise = error
    for _ in range(2 * circuit_breaker.FAILURES):
        with pytest.raises(type(error)):
            await bench.ask()
    assert bench.lexical.asked == []


@pytest.mark.parametrize("error", [NotReady("building"), Overloaded("full"), StorageUnavailable("no disk")])
async def test_if_neither_can_answer_the_embedders_error_is_told(error: GatewayError):
    bench = Bench()
    bench.embedder.unavailable = True
    bench.lexical.error = error
    for _ in range(2 * circuit_breaker.FAILURES):
        with pytest.raises(EmbedderUnavailable):
            await bench.ask()
    with pytest.raises(type(error)):
        await bench.ask(mode="lexical")


async def test_what_is_wrong_with_the_request_is_told_whoever_notices():
    bench = Bench()
    for mode in ("auto", "dense", "lexical"):
        with pytest.raises(InvalidRequest, match="query"):
            await bench.ask(" ", mode)  # type: ignore[arg-type]
    bench.embedder.unavailable = True
    bench.lexical.error = NotFound("there is no collection 'books'", param="collection")
    with pytest.raises(NotFound):
        await bench.ask()


async def test_a_hung_embedder_leaves_time_for_the_lexical_search():
    bench = Bench()
    bench.embedder.hold()
    answer = await bench.ask(timeout=0.5)
    assert answer.degraded
    assert 0 < bench.lexical.timeouts[0] <= 0.5 - dense_seconds(0.5) + 0.001
    bench.embedder.release()


async def test_an_embedder_that_is_down_is_asked_a_few_times_and_then_by_one_search_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
):
    clock = SimpleNamespace(now=time.monotonic())
    monkeypatch.setattr(search_pipeline, "time", SimpleNamespace(monotonic=lambda: clock.now))

    bench = Bench()
    bench.embedder.unavailable = True
    for number in range(10):
        assert (await bench.ask(f"q{number}")).degraded
    assert len(bench.embedder.calls) == circuit_breaker.FAILURES
    with pytest.raises(EmbedderUnavailable):
        await bench.ask(mode="dense")

    clock.now += circuit_breaker.pause(1)
    bench.use_case.embedder_is(False)
    assert (await bench.ask()).degraded
    bench.use_case.embedder_is(True)
    bench.embedder.unavailable = False
    bench.embedder.hold()
    calls = len(bench.embedder.calls)
    trial = asyncio.create_task(bench.ask("trial"))
    await bench.embedder.wait_calls(calls + 1)
    assert (await bench.ask("meanwhile")).degraded
    bench.embedder.release()
    assert dense(await trial)
    assert dense(await bench.ask("afterwards"))


async def test_a_search_of_little_patience_does_not_say_that_the_embedder_is_down():
    bench = Bench()
    bench.embedder.hold()
    answers = [asyncio.create_task(bench.ask(f"q{n}", timeout=0.02)) for n in range(3 * circuit_breaker.FAILURES)]
    assert all([(await answer).degraded for answer in answers])
    patient = asyncio.create_task(bench.ask("patient"))
    await turns()
    bench.embedder.release()
    assert dense(await patient)


async def test_a_query_whose_vector_is_kept_is_dense_without_an_embedder():
    bench = Bench(kept=4)
    bench.index.pinned["books"] = FINGERPRINT
    await bench.ask("known")
    bench.embedder.unavailable = True
    for number in range(2 * circuit_breaker.FAILURES):
        await bench.ask(f"q{number}")
    assert dense(await bench.ask("known"))
    assert (await bench.ask("unknown")).degraded, "what needed no embedder says nothing about it"


@given(seconds=st.floats(0.001, 600))
def test_the_greater_part_of_the_time_is_the_embedders(seconds: float):
    assert 0.8 * seconds - 1e-9 <= dense_seconds(seconds) < seconds
    assert seconds - dense_seconds(seconds) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("unknown", "finds", "mode", "hits"),
    [
        (1.0, True, "lexical", 1),
        (1.0, False, "lexical", 0),  # its vector is nearest to whatever else the model cannot read
        (0.6, True, "lexical", 1),
        (0.6, False, "dense", 1),
        (0.5, True, "dense", 1),
    ],
)
async def test_a_query_that_the_model_hardly_reads_is_answered_by_its_words(
    unknown: float, finds: bool, mode: str, hits: int
):
    bench = Bench()
    bench.lexical.finds = finds
    bench.embedder.coverage = lambda text: Coverage(unknown=unknown)
    answer = await bench.ask()
    assert (answer.mode, len(answer.hits), answer.degraded) == (mode, hits, False)
    assert answer.coverage.unknown == unknown
    assert bench.unreadable == (unknown > 0.5)
    meant = await bench.ask(mode="dense")
    assert (meant.mode, meant.coverage.unknown) == ("dense", unknown)


@pytest.mark.parametrize("error", [NotReady("building"), Overloaded("full"), StorageUnavailable("no disk")])
async def test_if_words_cannot_be_searched_a_query_that_is_hardly_read_gets_its_vectors_answer(error: GatewayError):
    bench = Bench()
    bench.lexical.error = error
    bench.embedder.coverage = lambda text: Coverage(unknown=1.0)
    answer = await bench.ask()
    assert (answer.mode, answer.coverage.unknown) == ("dense", 1.0)


async def test_a_query_that_was_cut_is_counted_and_told():
    bench = Bench()
    bench.embedder.coverage = lambda text: Coverage(truncated=True)
    assert (await bench.ask()).coverage.truncated
    assert bench.truncated == 1
    assert not (await bench.ask(mode="lexical")).coverage.truncated


async def test_an_answer_by_words_is_of_the_whole_query():
    bench = Bench()
    bench.embedder.coverage = lambda text: Coverage(truncated=True, unknown=1.0)
    answer = await bench.ask()
    assert (answer.mode, answer.coverage) == ("lexical", Coverage(unknown=1.0))
