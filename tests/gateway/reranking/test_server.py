"""Rerank servers that fail: their errors, retries on another server, and bounds of their replies."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from tandem_gateway.adapters.reranking.pool import RerankPool
from tandem_gateway.adapters.reranking.server import ServerLimits, ServerReranker
from tandem_gateway.adapters.reranking.shapes import (
    RerankApi,
    ServerError,
    encode_call,
    endpoint,
    health_url,
    max_reply_bytes,
    read_reply,
    refusal,
)
from tandem_gateway.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RerankerBroken,
    RerankerRejected,
    RerankerUnavailable,
)
from tests.gateway.reranking.conftest import Fault
from tests.gateway.reranking.test_conformance import pool_of
from tests.support.rerank_server import MODEL, rerank_server, share_score, url_of

TEXTS = ["a cat on a mat", "the dog", "a cat"]


class Make(Protocol):
    def __call__(self, url: str, api: RerankApi = "tei", model: str | None = MODEL) -> ServerReranker: ...


@pytest.fixture
async def pools() -> AsyncIterator[list[RerankPool]]:
    """Pools that are closed when the test ends."""
    opened: list[RerankPool] = []
    yield opened
    for pool in opened:
        pool.close()


@pytest.fixture
async def reranker(pools: list[RerankPool]) -> Make:
    def make(url: str, api: RerankApi = "tei", model: str | None = MODEL) -> ServerReranker:
        pools.append(pool_of(url, api))
        return ServerReranker(pools[-1], api, model, ServerLimits(32, 4))

    return make


@pytest.mark.parametrize("api", ["tei", "cohere"])
async def test_the_scores_are_those_of_the_servers_model(reranker: Make, server_url: str, api: RerankApi) -> None:
    found = await reranker(server_url, api).rerank("a cat", TEXTS, timeout=20)
    assert found.scores == pytest.approx([share_score("a cat", text) for text in TEXTS], abs=1e-5)
    assert found.tokens == (None if api == "tei" else 3)


@pytest.mark.parametrize("path", ["/rerank", "/v2/rerank"])
async def test_a_url_with_the_whole_path_is_used_as_it_is(reranker: Make, server_url: str, path: str) -> None:
    api: RerankApi = "tei" if path == "/rerank" else "cohere"
    assert len((await reranker(server_url + path, api).rerank("a cat", TEXTS, timeout=20)).scores) == 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("unavailable", RerankerUnavailable),
        ("overloaded", Overloaded),
        ("broken", RerankerBroken),
        ("incomplete", RerankerBroken),
        ("endless", RerankerUnavailable),
        ("hung", DeadlineExceeded),
    ],
)
@pytest.mark.parametrize("api", ["tei", "cohere"])
async def test_a_failing_server(
    reranker: Make, server_url: str, fault: Fault, api: RerankApi, name: str, error: type[Exception]
) -> None:
    fault(name)
    with pytest.raises(error):
        await reranker(server_url, api).rerank("a cat", TEXTS, timeout=0.5 if name == "hung" else 20)
    fault("none")
    assert len((await reranker(server_url, api).rerank("a cat", TEXTS, timeout=20)).scores) == 3


async def test_a_server_that_is_not_there_is_unavailable(reranker: Make) -> None:
    with pytest.raises(RerankerUnavailable, match="cannot be reached"):
        await reranker("http://127.0.0.1:9").rerank("a cat", TEXTS, timeout=20)


async def test_a_call_is_retried_on_another_server(reranker: Make, server_url: str) -> None:
    both = reranker(f"http://127.0.0.1:9,{server_url}")
    for _ in range(20):
        assert len((await both.rerank("a cat", TEXTS, timeout=20)).scores) == 3


async def test_a_server_that_is_killed_is_replaced_by_the_other(
    reranker: Make, pools: list[RerankPool], server_url: str, tmp_path: Path
) -> None:
    with rerank_server(tmp_path) as second:
        both = reranker(f"{url_of(second)},{server_url}")
        for number in range(20):
            if number == 5:
                second.kill()
            assert len((await both.rerank(f"a cat {number}", TEXTS, timeout=20)).scores) == 3
        states = {replica.label: replica.status for replica in pools[0].state().replicas}
        assert states[url_of(second).removeprefix("http://")] == "ejected"


async def test_a_server_that_was_ejected_returns(server_url: str, fault: Fault) -> None:
    pool = pool_of(server_url, "tei")
    fault("unavailable")
    with pytest.raises(RerankerUnavailable):
        await pool.rerank("a cat", TEXTS, model=None, raw=False, timeout=20)
    assert [replica.status for replica in pool.state().replicas] == ["ejected"]
    fault("none")
    await pool.rerank("a cat", TEXTS, model=None, raw=False, timeout=20)
    assert [replica.status for replica in pool.state().replicas] == ["serving"]
    pool.close()


async def test_tei_takes_no_name_of_a_model_that_is_not_set(reranker: Make, server_url: str) -> None:
    with pytest.raises(InvalidRequest, match="TANDEM_RERANKER_MODEL"):
        await reranker(server_url, model=None).rerank("a cat", TEXTS, timeout=20, model="any")


async def test_coheres_server_refuses_an_unknown_model(reranker: Make, server_url: str) -> None:
    with pytest.raises(RerankerRejected, match="'another' not found"):
        await reranker(server_url, "cohere").rerank("a cat", TEXTS, timeout=20, model="another")


def test_the_urls() -> None:
    assert endpoint("http://a:1", "tei") == "http://a:1/rerank"
    assert endpoint("http://a:1/p", "cohere") == "http://a:1/p/v2/rerank"
    assert endpoint("https://a/v1/rerank", "cohere") == "https://a/v1/rerank"
    assert health_url("https://a:1/v1/rerank") == "https://a:1/health"


def test_raw_scores_are_for_tei_only() -> None:
    assert b'"raw_scores":true' in encode_call("tei", "q", ["x"], None, raw=True)
    with pytest.raises(InvalidRequest, match="raw_scores"):
        encode_call("cohere", "q", ["x"], None, raw=True)


def test_the_bound_of_a_reply_allows_for_documents_as_escapes() -> None:
    texts = ["\x01" * 1000, "é" * 1000, "😀" * 1000]
    assert len(json.dumps(texts)) < max_reply_bytes(texts) < 200_000


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"{}", b"[]", b'[{"index":0}]', b'[{"index":0,"score":"1"},{"index":1,"score":1}]',
        b'[{"index":0,"score":0.5},{"index":0,"score":0.5}]', b'[{"index":0,"score":0.5},{"index":2,"score":0.5}]',
        b'[{"index":0,"score":0.5},{"index":-1,"score":0.5}]', b'[{"index":0,"score":0.5},{"index":1,"score":1.5}]',
        b'[{"index":0,"score":NaN},{"index":1,"score":1}]', b'[{"index":0,"score":-0.5},{"index":1,"score":1}]',
        b'[{"index":0,"score":1e400},{"index":1,"score":1}]', b"\xff", b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_reply_that_is_not_allowed_is_broken(body: bytes) -> None:
    with pytest.raises(RerankerBroken):
        read_reply("tei", body, 2, raw=False)
    with pytest.raises(RerankerBroken):
        read_reply("cohere", body, 2, raw=False)


def test_a_score_just_beyond_the_range_is_rounding() -> None:
    body = b'[{"index":1,"score":1.0000001},{"index":0,"score":-0.0000001}]'
    assert read_reply("tei", body, 2, raw=False).scores == [0.0, 1.0]
    assert read_reply("tei", b'[{"index":0,"score":-7.5}]', 1, raw=True).scores == [-7.5]


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RerankerRejected), (401, RerankerBroken), (404, RerankerRejected), (413, RerankerRejected),
     (422, RerankerRejected), (429, Overloaded), (500, RerankerBroken), (502, RerankerUnavailable),
     (503, RerankerUnavailable), (504, DeadlineExceeded)],
)  # fmt: skip
def test_the_errors_by_status(status: int, error: type[Exception]) -> None:
    for body in (b'{"message":"why"}', b'{"error":"why","error_type":"Backend"}', b'{"detail":"why"}', b"why"):
        found = refusal(ServerError(status, body, "7"))
        assert type(found) is error
        assert f"answered {status}" in str(found)
        assert "why" in str(found)
    assert "\\xff" in str(refusal(ServerError(status, b"\xff")))
