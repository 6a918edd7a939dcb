"""The reranking of one search: which passages it reads, what it asks again, and when it does not ask."""

from array import array
from collections.abc import Mapping, Sequence

import pytest

from tandem_gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    Overloaded,
    RerankerRejected,
    RerankerUnavailable,
)
from tandem_gateway.records.explanation import Stages
from tandem_gateway.records.reranking import RerankScores
from tandem_gateway.records.search import Hit, HitPassage, Hits, RankedPassage
from tandem_gateway.use_cases.commands import RerankChoice, SearchCommand
from tandem_gateway.use_cases.search_reranking import RerankOutcome, SearchReranker, SearchRerankerEvents

RANKED = [RankedPassage(number, 1.0 - number / 10) for number in range(5)]


class FakeReranker:
    """Implements ``Reranker``: a text's score is its last digit / 10."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.timeouts: list[float] = []
        self.error: GatewayError | None = None
        self.truncated: list[int] = []

    async def rerank(
        self, query: str, documents: Sequence[str], *, timeout: float, model: str | None = None, raw: bool = False
    ) -> RerankScores:
        self.asked.append(list(documents))
        self.timeouts.append(timeout)
        if self.error is not None:
            raise self.error
        return RerankScores([int(text[-1]) / 10 for text in documents], model, self.truncated)


class FakeHydrator:
    """Implements ``Hydrator`` for documents that a test may take away."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.error: GatewayError | None = None

    async def hydrate(
        self, ranked: Sequence[RankedPassage], *, timeout: float, texts: bool = True, metadata: bool = True
    ) -> Hits:
        if self.error is not None:
            raise self.error
        return Hits(
            Hit(f"d{each.passage_id}", each.score, f"text {each.passage_id}", "{}", first=each.passage_id)
            for each in ranked
            if each.passage_id not in self.gone
        )

    async def vectors(self, collection: str, passage_ids: Sequence[int], *, timeout: float) -> Mapping[int, bytes]:
        raise NotImplementedError

    async def with_vectors(self, collection: str, hits: Hits, *, timeout: float) -> Hits:
        raise NotImplementedError


class Parts:
    def __init__(self) -> None:
        self.now = 100.0
        self.reranker = FakeReranker()
        self.hydrator = FakeHydrator()
        self.outcomes: list[RerankOutcome] = []
        self.searches = SearchReranker(
            self.reranker,
            self.hydrator,
            timeout=30.0,
            events=SearchRerankerEvents(ended=self.outcomes.append),
            clock=lambda: self.now,
        )

    async def search(self, top_n: int = 3, seconds: float = 10.0) -> list[int]:
        """Return the passages of a search in their order."""
        reranking = self.searches.begin(command(top_n))
        assert reranking is not None
        await reranking.score(RANKED, self.now + seconds, None)
        reranking.end()
        return [each.passage_id for each in reranking.arranged(RANKED)]


@pytest.fixture
def parts() -> Parts:
    return Parts()


def command(top_n: int = 3) -> SearchCommand:
    return SearchCommand("a query", 5, "default", "hybrid", rerank=RerankChoice(top_n))


async def test_a_search_that_does_not_ask_has_no_reranking(parts: Parts) -> None:
    assert parts.searches.begin(SearchCommand("a query", 5, "default", "hybrid")) is None


async def test_the_first_are_reordered(parts: Parts) -> None:
    assert await parts.search() == [2, 1, 0, 3, 4]
    assert parts.reranker.asked == [["text 0", "text 1", "text 2"]]
    assert parts.reranker.timeouts == [9.5]
    assert parts.outcomes == ["reranked"]


async def test_a_search_that_begins_again_asks_for_what_it_lacks(parts: Parts) -> None:
    reranking = parts.searches.begin(command())
    assert reranking is not None
    stages = Stages()
    await reranking.score(RANKED, 110.0, stages)
    other = [RANKED[1], RANKED[4], RANKED[2], RANKED[0]]
    await reranking.score(other, 110.0, stages)
    assert parts.reranker.asked == [["text 0", "text 1", "text 2"], ["text 4"]]
    assert [each.passage_id for each in reranking.arranged(other)] == [4, 2, 1, 0]
    assert (reranking.candidates, stages.seconds.keys()) == (3, {"rerank"})


async def test_no_order_is_of_some_scores_only(parts: Parts) -> None:
    reranking = parts.searches.begin(command())
    assert reranking is not None
    await reranking.score(RANKED, 110.0, None)
    parts.reranker.error = RerankerUnavailable("gone")
    other = [RANKED[1], RANKED[4], RANKED[2]]
    await reranking.score(other, 110.0, None)
    assert (reranking.outcome, reranking.has_scores) == ("failed", False)
    assert reranking.arranged(other) == other


async def test_documents_that_are_gone_are_left_out(parts: Parts) -> None:
    parts.hydrator.gone = {0, 2}
    assert await parts.search() == [1, 0, 2, 3, 4]
    parts.hydrator.gone = {0, 1, 2}
    assert await parts.search() == [0, 1, 2, 3, 4]
    assert parts.outcomes == ["reranked", "reranked"]


@pytest.mark.parametrize("seconds", [0.04, 0.0, -1.0])
async def test_without_time_it_does_not_ask(parts: Parts, seconds: float) -> None:
    assert await parts.search(seconds=seconds) == [0, 1, 2, 3, 4]
    assert (parts.reranker.asked, parts.outcomes) == ([], ["late"])


async def test_after_three_failures_it_asks_one_search_after_a_pause(parts: Parts) -> None:
    parts.reranker.error = RerankerUnavailable("gone")
    for _ in range(5):
        assert await parts.search() == [0, 1, 2, 3, 4]
    assert parts.outcomes == ["failed"] * 3 + ["skipped"] * 2
    parts.now += 1.0
    await parts.search()
    await parts.search()
    assert parts.outcomes[5:] == ["failed", "skipped"]
    parts.now += 2.0
    parts.reranker.error = None
    assert await parts.search() == [2, 1, 0, 3, 4]
    assert await parts.search() == [2, 1, 0, 3, 4]


@pytest.mark.parametrize(
    ("error", "seconds", "counts"),
    [
        (DeadlineExceeded("late"), 10.0, True),
        (DeadlineExceeded("late"), 0.5, False),  # says nothing of the reranker
        (Overloaded("full"), 10.0, False),
        (RerankerRejected("too long"), 10.0, False),
    ],
)
async def test_the_failures_that_count(parts: Parts, error: GatewayError, seconds: float, counts: bool) -> None:
    parts.reranker.error = error
    for _ in range(4):
        await parts.search(seconds=seconds)
    assert (parts.outcomes[-1] == "skipped") == counts
    assert parts.outcomes[0] == ("late" if isinstance(error, DeadlineExceeded) else "failed")


async def test_the_clients_mistakes_are_errors_that_name_the_field(parts: Parts) -> None:
    parts.reranker.error = InvalidRequest("model: 'm' is the only one", param="model")
    with pytest.raises(InvalidRequest, match=r"^rerank\.model: 'm' is") as refused:
        await parts.search()
    assert refused.value.param == "rerank.model"
    parts.hydrator.error = InvalidRequest("top_k: too large", param="top_k", code="limit_exceeded")
    with pytest.raises(InvalidRequest, match=r"^rerank\.top_n: too large") as refused:
        await parts.search()
    assert (refused.value.param, refused.value.code) == ("rerank.top_n", "limit_exceeded")


async def test_the_best_passage_is_what_is_read() -> None:
    parts = Parts()
    text = "nothing 1" + " " + "a query 7"
    hits = Hits(
        [
            Hit("a", 1.0, text, "{}", passage=HitPassage(0, 0, 9), first=0),
            Hit("b", 1.0, text, "{}", passages=array("q", [10, 0, 9, 11, 10, 19]), first=1),
        ]
    )

    async def hydrate(
        ranked: Sequence[RankedPassage], *, timeout: float, texts: bool = True, metadata: bool = True
    ) -> Hits:
        return hits

    parts.hydrator.hydrate = hydrate  # type: ignore[method-assign]
    assert await parts.search(2) == [1, 0, 2, 3, 4]
    assert parts.reranker.asked == [["nothing 1", "a query 7"]]


async def test_it_tells_of_texts_that_were_cut(parts: Parts) -> None:
    parts.reranker.truncated = [1]
    reranking = parts.searches.begin(command())
    assert reranking is not None
    await reranking.score(RANKED, 110.0, None)
    assert reranking.truncated
