"""Every reranker behaves alike: by the cosine of vectors, and by a server with TEI's or Cohere's API."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolSettings
from tandem_gateway.adapters.reranking.cosine import CosineLimits, CosineReranker
from tandem_gateway.adapters.reranking.httpx_connection import HttpxRerankConnection
from tandem_gateway.adapters.reranking.pool import RerankPool
from tandem_gateway.adapters.reranking.server import ServerLimits, ServerReranker
from tandem_gateway.adapters.reranking.shapes import RerankApi
from tandem_gateway.errors import DeadlineExceeded, GatewayError, InvalidRequest
from tandem_gateway.ports.reranker import Reranker
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.query_embedder import QueryEmbedder
from tests.support import fakes, rerank_server
from tests.support.fakes import FakeEmbedder

KINDS = ("cosine", "tei", "cohere")
TEXTS = ["a cat on a mat", "the dog", "a cat", "tea"]


def pool_of(url: str, api: RerankApi) -> RerankPool:
    def connect(address: Address) -> HttpxRerankConnection:
        return HttpxRerankConnection(address.url, Http1Transport(address.url, max_connections=8), api)

    return RerankPool(url.split(","), connect, settings=PoolSettings())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def reranker(kind: str, server_url: str) -> AsyncIterator[Reranker]:
    if kind == "cosine":
        embedder = FakeEmbedder()
        queries = QueryEmbedder(embedder, coalescing=CoalescingLimits(32, 3), max_queued=100)
        yield CosineReranker(queries, embedder, CosineLimits(32, 1 << 20, 2))
        return
    api: RerankApi = "tei" if kind == "tei" else "cohere"
    pool = pool_of(server_url, api)
    yield ServerReranker(pool, api, rerank_server.MODEL, ServerLimits(32, 4))
    pool.close()


@pytest.fixture
def model(kind: str) -> str:
    return fakes.MODEL if kind == "cosine" else rerank_server.MODEL


async def test_each_document_has_a_score_from_0_to_1(reranker: Reranker) -> None:
    found = await reranker.rerank("a cat", TEXTS, timeout=20)
    assert len(found.scores) == len(TEXTS)
    assert all(0 <= score <= 1 for score in found.scores)
    assert (found.truncated, found.query_truncated) in (([], False), ((), False))


async def test_a_document_that_is_the_query_is_the_most_relevant(reranker: Reranker) -> None:
    found = await reranker.rerank("a cat", TEXTS, timeout=20)
    assert max(found.scores) == pytest.approx(found.scores[2])


async def test_a_score_depends_on_its_document_alone(reranker: Reranker) -> None:
    together = await reranker.rerank("a cat", TEXTS, timeout=20)
    for text, score in zip(TEXTS, together.scores, strict=True):
        alone = await reranker.rerank("a cat", [text], timeout=20)
        assert alone.scores == pytest.approx([score], abs=1e-6)


async def test_many_documents_keep_their_order(reranker: Reranker) -> None:
    texts = [f"{TEXTS[number % 4]} {number}" for number in range(200)]
    found = await reranker.rerank("a cat", texts, timeout=60)
    few = await reranker.rerank("a cat", texts[150:160], timeout=20)
    assert len(found.scores) == 200
    assert found.scores[150:160] == pytest.approx(few.scores, abs=1e-6)


async def test_equal_documents_have_equal_scores(reranker: Reranker) -> None:
    found = await reranker.rerank("a cat", ["tea", "a cat", "tea"], timeout=20)
    assert found.scores[0] == found.scores[2]


async def test_no_document_has_no_score(reranker: Reranker) -> None:
    assert list((await reranker.rerank("a cat", [], timeout=20)).scores) == []


async def test_any_text_goes_through(reranker: Reranker) -> None:
    texts = ['"quotes" \\ and \n lines', "数据库 \U0001f600", "\x01\x7f", "x" * 50_000]
    assert len((await reranker.rerank('a "cat" 🐈', texts, timeout=20)).scores) == 4


async def test_the_model_has_its_name(reranker: Reranker, model: str) -> None:
    assert (await reranker.rerank("a cat", TEXTS, timeout=20)).model == model
    assert (await reranker.rerank("a cat", TEXTS, timeout=20, model=model)).model == model


async def test_another_model_is_refused(reranker: Reranker) -> None:
    with pytest.raises(GatewayError, match="model"):
        await reranker.rerank("a cat", TEXTS, timeout=20, model="another")


async def test_raw_scores_are_finite_and_have_the_same_order(reranker: Reranker, kind: str) -> None:
    if kind == "cohere":
        with pytest.raises(InvalidRequest, match="raw_scores") as refused:
            await reranker.rerank("a cat", TEXTS, timeout=20, raw=True)
        assert refused.value.param == "raw_scores"
        return
    scores = (await reranker.rerank("a cat", TEXTS, timeout=20)).scores
    raw = (await reranker.rerank("a cat", TEXTS, timeout=20, raw=True)).scores
    assert all(map(math.isfinite, raw))
    assert sorted(range(4), key=lambda place: raw[place]) == sorted(range(4), key=lambda place: scores[place])


async def test_a_call_without_time_is_late(reranker: Reranker) -> None:
    with pytest.raises(DeadlineExceeded):
        await reranker.rerank("a cat", TEXTS, timeout=0.0)


async def test_calls_side_by_side_do_not_mix(reranker: Reranker) -> None:
    queries = [f"query {number}" for number in range(10)]
    alone = [(await reranker.rerank(query, TEXTS, timeout=20)).scores for query in queries]
    together = await asyncio.gather(*(reranker.rerank(query, TEXTS, timeout=60) for query in queries))
    for one, other in zip(alone, together, strict=True):
        assert other.scores == pytest.approx(one, abs=1e-6)


async def test_a_cancelled_call_can_be_repeated(reranker: Reranker) -> None:
    call = asyncio.create_task(reranker.rerank("a cat", [f"text {number}" for number in range(100)], timeout=60))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len((await reranker.rerank("a cat", TEXTS, timeout=60)).scores) == 4
