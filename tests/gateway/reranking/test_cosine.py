"""The reranker by cosine: its batches, its lanes, its cache of queries, and embedders that change their model."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from tandem_gateway.adapters.reranking.cosine import (
    INTERACTIVE_CHARS,
    INTERACTIVE_DOCUMENTS,
    CosineLimits,
    CosineReranker,
    batches,
    lane_of,
)
from tandem_gateway.errors import DeadlineExceeded, EmbedderUnavailable, InvalidRequest, RerankerUnavailable
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.query_embedder import QueryEmbedder
from tests.support.fakes import MODEL, WAIT_SECONDS, FakeEmbedder, vector_of

LIMITS = CosineLimits(batch=4, batch_bytes=1000, calls=2)
TEXTS = ["a cat", "a dog", "some tea"]


def reranker(embedder: FakeEmbedder, limits: CosineLimits = LIMITS) -> CosineReranker:
    queries = QueryEmbedder(embedder, coalescing=CoalescingLimits(32, 3), max_queued=100, cached_vectors=100)
    return CosineReranker(queries, embedder, limits)


def cosine(one: str, other: str) -> float:
    return float(vector_of(one) @ vector_of(other))


async def test_scores_are_the_cosines_from_0_to_1() -> None:
    found = await reranker(FakeEmbedder()).rerank("a pet", TEXTS, timeout=10)
    assert found.scores == pytest.approx([(1 + cosine("a pet", text)) / 2 for text in TEXTS], abs=1e-6)
    assert (found.model, found.truncated, found.query_truncated) == (MODEL, [], False)
    assert found.tokens == sum(map(len, ["a pet", *TEXTS]))


async def test_raw_scores_are_the_cosines() -> None:
    found = await reranker(FakeEmbedder()).rerank("a pet", TEXTS, timeout=10, raw=True)
    assert found.scores == pytest.approx([cosine("a pet", text) for text in TEXTS], abs=1e-6)


async def test_a_document_that_occurs_twice_is_embedded_once() -> None:
    embedder = FakeEmbedder()
    found = await reranker(embedder).rerank("a pet", ["a", "b", "a"], timeout=10)
    assert found.scores[0] == found.scores[2] != found.scores[1]
    assert embedder.calls == [["a pet"], ["a", "b"]]


async def test_a_query_that_is_repeated_is_not_embedded_again() -> None:
    embedder = FakeEmbedder()
    reranks = reranker(embedder)
    for _ in range(3):
        await reranks.rerank("a pet", ["a"], timeout=10)
    assert embedder.calls.count(["a pet"]) == 1


async def test_many_documents_go_in_batches_through_the_lane_of_documents() -> None:
    embedder = FakeEmbedder()
    texts = [f"text {number}" for number in range(30)]
    found = await reranker(embedder).rerank("a pet", texts, timeout=10)
    assert found.scores == pytest.approx([(1 + cosine("a pet", text)) / 2 for text in texts], abs=1e-6)
    documents = [(call, kind) for call, kind in zip(embedder.calls, embedder.kinds, strict=True) if call != ["a pet"]]
    assert [len(call) for call, _ in documents] == [4] * 7 + [2]
    assert {kind for _, kind in documents} == {("document", "bulk")}
    assert embedder.kinds[0] == ("query", "interactive")


async def test_a_few_short_documents_go_through_the_lane_of_queries() -> None:
    embedder = FakeEmbedder()
    await reranker(embedder).rerank("a pet", TEXTS, timeout=10)
    assert embedder.kinds[1:] == [("document", "interactive")]


def test_the_lanes() -> None:
    assert lane_of(["x"] * INTERACTIVE_DOCUMENTS) == "interactive"
    assert lane_of(["x"] * (INTERACTIVE_DOCUMENTS + 1)) == "bulk"
    assert lane_of(["x" * INTERACTIVE_CHARS]) == "interactive"
    assert lane_of(["x" * INTERACTIVE_CHARS, "y"]) == "bulk"


@pytest.mark.parametrize(
    ("sizes", "expected"), [([], []), ([1] * 5, [4, 1]), ([2000, 1, 2000], [1, 1, 1]), ([400] * 5, [2, 2, 1])]
)
def test_the_batches(sizes: Sequence[int], expected: Sequence[int]) -> None:
    texts = ["x" * size for size in sizes]
    made = batches(texts, LIMITS)
    assert [len(batch) for batch in made] == expected
    assert [text for batch in made for text in batch] == texts


async def test_it_tells_which_documents_were_truncated() -> None:
    embedder = FakeEmbedder()
    embedder.coverage = lambda text: Coverage(len(text) > 5, 0.0)
    found = await reranker(embedder).rerank("a pet", ["short", "too long", "short", "too long"], timeout=10)
    assert (found.truncated, found.query_truncated) == ([1, 3], False)
    assert (await reranker(embedder).rerank("a long query", ["short"], timeout=10)).query_truncated


async def test_only_the_name_of_the_served_model_is_accepted() -> None:
    embedder = FakeEmbedder()
    reranks = reranker(embedder)
    assert (await reranks.rerank("a pet", TEXTS, timeout=10, model=MODEL)).model == MODEL
    with pytest.raises(InvalidRequest, match=f"model: '{MODEL}' is the model") as refused:
        await reranks.rerank("a pet", TEXTS, timeout=10, model="another")
    assert refused.value.param == "model"
    assert sum(kind == "document" for kind, _ in embedder.kinds) == 1  # the refused call embedded no document


async def test_an_unavailable_embedder_fails_the_call() -> None:
    embedder = FakeEmbedder()
    embedder.unavailable = True
    with pytest.raises(EmbedderUnavailable):
        await reranker(embedder).rerank("a pet", TEXTS, timeout=10)


async def test_a_call_ends_at_its_deadline() -> None:
    embedder = FakeEmbedder()
    reranks = reranker(embedder)
    await reranks.rerank("a pet", ["x"], timeout=10)  # the vector of the query is cached
    embedder.hold()
    with pytest.raises(DeadlineExceeded):
        await reranks.rerank("a pet", TEXTS, timeout=0.05)


async def test_the_other_calls_are_cancelled_if_one_fails() -> None:
    embedder = FakeEmbedder()
    embedder.rejected = lambda text: text == "text 0"
    with pytest.raises(Exception, match="refuses"):
        await reranker(embedder).rerank("a pet", [f"text {number}" for number in range(30)], timeout=10)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "call of a reranking"]


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    embedder = FakeEmbedder()
    reranks = reranker(embedder)
    await reranks.rerank("a pet", ["x"], timeout=10)
    embedder.hold()
    call = asyncio.create_task(reranks.rerank("a pet", [f"text {number}" for number in range(30)], timeout=60))
    await embedder.wait_calls(4)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    embedder.release()
    found = await asyncio.wait_for(reranks.rerank("a pet", TEXTS, timeout=60), WAIT_SECONDS)
    assert len(found.scores) == 3


class ChangingEmbedder(FakeEmbedder):
    """Has another model after a number of calls."""

    def __init__(self, changes_after: int, *, for_good: bool = True) -> None:
        super().__init__()
        self.changes_after = changes_after
        self.for_good = for_good

    def _embedded(self, texts, spans):  # type: ignore[no-untyped-def]
        count = len(self.calls)
        new = count > self.changes_after if self.for_good else count == self.changes_after + 1
        self.fingerprint = ("n" if new else "f") * 32
        return super()._embedded(texts, spans)


async def test_a_query_is_embedded_again_if_the_documents_have_another_model() -> None:
    embedder = ChangingEmbedder(1)
    found = await reranker(embedder).rerank("a pet", TEXTS, timeout=10)
    assert embedder.calls == [["a pet"], TEXTS, ["a pet"]]
    assert np.isfinite(found.scores).all()


async def test_vectors_of_two_models_are_never_compared() -> None:
    with pytest.raises(RerankerUnavailable, match="different models"):
        await reranker(ChangingEmbedder(2)).rerank("a pet", [f"text {number}" for number in range(8)], timeout=10)
    with pytest.raises(RerankerUnavailable, match="different models"):
        await reranker(ChangingEmbedder(1, for_good=False)).rerank("a pet", TEXTS, timeout=10)
