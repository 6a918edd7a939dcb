"""Searches that are reranked by a real rerank server, over HTTP, with an embedder without a model."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.gateway.reranking.conftest import Fault
from tests.gateway.reranking.gateways import gateway
from tests.support import fakes
from tests.support.fakes import eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.rerank_server import MODEL, rerank_server, share_score, url_of

QUERY = "red apple pie"
DOCUMENTS = [
    {"id": "tea", "text": "green tea with milk", "metadata": {"kind": "drink"}},
    {"id": "pie", "text": "a red apple pie", "metadata": {"kind": "food"}},
    {"id": "car", "text": "a red car", "metadata": {"kind": "thing"}},
    {"id": "sauce", "text": "red apple sauce", "metadata": {"kind": "food"}},
    {"id": "tree", "text": "an apple tree by the road", "metadata": {"kind": "thing"}},
    {"id": "long", "text": "nothing of it here\n\nbut the red apple pie is in this part", "metadata": {"kind": "food"}},
]
TEXTS = {str(each["id"]): str(each["text"]) for each in DOCUMENTS}


@pytest.fixture
def embedder() -> Iterator[HttpFakeEmbedder]:
    with HttpFakeEmbedder() as embedder:
        yield embedder


async def fill(client: httpx.AsyncClient) -> None:
    settings = await client.put("/v1/collections/default", json={"chunking": {}})
    assert settings.status_code in (200, 201), settings.text
    reply = await client.post("/v1/ingest", json={"documents": DOCUMENTS})
    job = await client.get(f"/v1/jobs/{reply.json()['job_id']}", params={"wait_seconds": 20})
    assert job.json()["status"] == "completed", job.text


@pytest.fixture
async def client(tmp_path: Path, embedder: HttpFakeEmbedder, server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway(tmp_path, embedder.url, reranker_url=server_url, reranker_model=MODEL) as client:
        await fill(client)
        yield client


async def search(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    reply = await client.post("/v1/search", json={"query": QUERY, "rerank": {"top_n": 100}, **fields})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def ids(reply: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in reply["results"]]


def best_score(name: str) -> float:
    return max(share_score(QUERY, part) for part in TEXTS[name].split("\n\n"))


async def test_a_search_without_it_has_no_field_of_it(client: httpx.AsyncClient) -> None:
    reply = (await client.post("/v1/search", json={"query": QUERY, "explain": True})).json()
    assert "reranked" not in reply
    assert all("rerank" not in hit["scores"] for hit in reply["results"])
    assert "rerank" not in reply["explain"]["stages_ms"]
    assert "rerank" not in reply["explain"]["candidates"]


@pytest.mark.parametrize("mode", ["auto", "hybrid", "dense", "lexical"])
async def test_the_hits_have_the_rerankers_order_and_scores(client: httpx.AsyncClient, mode: str) -> None:
    plain = (await client.post("/v1/search", json={"query": QUERY, "mode": mode, "top_k": 100})).json()
    reply = await search(client, mode=mode, top_k=100, exclude=["text"])
    assert (reply["reranked"], reply["warnings"]) == (True, [])
    assert sorted(ids(reply)) == sorted(ids(plain))
    for hit in reply["results"]:
        assert (
            hit["score"]
            == hit["scores"]["rerank"]
            == pytest.approx(share_score(QUERY, hit["passage"]["text"]), abs=1e-5)
        )
    scores = [hit["score"] for hit in reply["results"]]
    assert scores == sorted(scores, reverse=True)
    if mode == "lexical":  # keyword search knows the document, and its passage is chosen by its words
        assert set(ids(reply)[:2]) == {"pie", "long"}
        assert all(hit["score"] == pytest.approx(best_score(hit["id"]), abs=1e-5) for hit in reply["results"])


async def test_only_the_first_top_n_are_reranked(client: httpx.AsyncClient) -> None:
    plain = (await client.post("/v1/search", json={"query": QUERY, "top_k": 100})).json()
    reply = await search(client, rerank={"top_n": 3, "model": MODEL}, top_k=100)
    assert set(ids(reply)[:3]) == set(ids(plain)[:3])
    assert ids(reply)[3:] == ids(plain)[3:]
    assert [hit["score"] for hit in reply["results"][3:]] == [0.0] * len(ids(plain)[3:])
    assert [hit["scores"]["rerank"] is None for hit in reply["results"]] == [False] * 3 + [True] * (len(ids(plain)) - 3)


async def test_pages_are_parts_of_the_whole_list(client: httpx.AsyncClient) -> None:
    whole = ids(await search(client, rerank={"top_n": 4}, top_k=100))
    pages = [ids(await search(client, rerank={"top_n": 4}, top_k=2, offset=offset)) for offset in (0, 2, 4)]
    assert [each for page in pages for each in page] == whole


async def test_a_filter_limits_what_is_reranked(client: httpx.AsyncClient) -> None:
    reply = await search(client, filter={"kind": "food"}, explain=True)
    assert set(ids(reply)) == {"pie", "sauce", "long"}
    assert reply["explain"]["candidates"]["rerank"] == 3
    assert reply["explain"]["stages_ms"]["rerank"] > 0


async def test_groups_have_the_best_of_the_rerankers_order(client: httpx.AsyncClient) -> None:
    whole = await search(client, top_k=100)
    reply = await search(client, group_by="kind")
    kinds = {str(each["id"]): each["metadata"]["kind"] for each in DOCUMENTS}  # type: ignore[index]
    best: dict[str, str] = {}
    for name in ids(whole):
        best.setdefault(kinds[name], name)
    assert ids(reply) == list(best.values())


async def test_diversity_orders_the_reranked_hits(client: httpx.AsyncClient) -> None:
    whole = await search(client, top_k=100, mode="lexical")
    reply = await search(client, top_k=100, mode="lexical", diversity=0.5)
    assert reply["reranked"] is True
    assert ids(reply)[0] == ids(whole)[0]
    scores = {hit["id"]: hit["score"] for hit in whole["results"]}
    assert {hit["id"]: hit["score"] for hit in reply["results"]} == scores


async def test_the_searches_of_a_batch(client: httpx.AsyncClient) -> None:
    searches = [{"query": QUERY, "rerank": {"top_n": 10}}, {"query": QUERY}, {"query": "tea", "rerank": {"top_n": 1}}]
    reply = (await client.post("/v1/search/batch", json={"searches": searches})).json()
    assert [each.get("reranked") for each in reply["replies"]] == [True, None, True]
    wrong = await client.post("/v1/search/batch", json={"searches": [{"query": "x", "rerank": {"top_n": 0}}]})
    assert wrong.json()["error"]["param"] == "searches[0].rerank.top_n"


async def test_a_search_without_hits_is_reranked_without_a_call(client: httpx.AsyncClient, fault: Fault) -> None:
    fault("unavailable")
    reply = await search(client, query="-apple", mode="lexical")
    assert (reply["results"], reply["reranked"]) == ([], True)


@pytest.mark.parametrize(
    ("rerank", "param"),
    [
        ({"top_n": 0}, "rerank.top_n"),
        ({"top_n": 1001}, "rerank.top_n"),
        ({}, "rerank.top_n"),
        ({"top_n": "5"}, "rerank.top_n"),
        ({"top_n": 5, "k": 1}, "rerank.k"),
        ({"top_n": 5, "model": "another"}, "rerank.model"),
        (True, "rerank"),
    ],
)
async def test_what_is_not_valid_is_named(client: httpx.AsyncClient, rerank: Any, param: str) -> None:
    reply = await client.post("/v1/search", json={"query": QUERY, "rerank": rerank})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (422, param), error


@pytest.mark.parametrize("name", ["unavailable", "overloaded", "broken", "incomplete"])
async def test_a_failing_reranker_leaves_the_searchs_own_order(
    client: httpx.AsyncClient, fault: Fault, name: str
) -> None:
    plain = (await client.post("/v1/search", json={"query": QUERY})).json()
    fault(name)
    for _ in range(5):  # the breaker opens meanwhile
        reply = await search(client)
        assert (reply["reranked"], reply["warnings"]) == (False, ["not_reranked"])
        assert ids(reply) == ids(plain)
        assert [hit["score"] for hit in reply["results"]] == [hit["score"] for hit in plain["results"]]
        assert all(hit["scores"]["rerank"] is None for hit in reply["results"])
    metrics = (await client.get("/metrics")).text
    assert 'tandem_gateway_search_rerankings_total{outcome="reranked"} 0.0' in metrics
    failed, skipped = (count_of(metrics, outcome) for outcome in ("failed", "skipped"))
    assert failed + skipped == 5
    assert (skipped > 0) == (name != "overloaded")


async def test_a_hung_reranker_leaves_time_for_the_answer(client: httpx.AsyncClient, fault: Fault) -> None:
    fault("hung")
    reply = await client.post(
        "/v1/search", json={"query": QUERY, "rerank": {"top_n": 5}}, headers={"x-request-timeout-ms": "600"}
    )
    assert reply.status_code == 200, reply.text
    assert (reply.json()["reranked"], reply.json()["warnings"]) == (False, ["not_reranked"])
    assert count_of((await client.get("/metrics")).text, "late") == 1


async def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, embedder: HttpFakeEmbedder) -> None:
    server = rerank_server(tmp_path)
    server.start().wait_ready()
    try:
        async with gateway(tmp_path / "data", embedder.url, reranker_url=url_of(server)) as client:
            await fill(client)
            assert (await search(client))["reranked"] is True
            server.kill()
            plain = (await client.post("/v1/search", json={"query": QUERY})).json()
            for _ in range(4):
                reply = await search(client)
                assert (reply["reranked"], ids(reply)) == (False, ids(plain))
            rerank = await client.post("/v1/rerank", json={"query": QUERY, "documents": ["x"]})
            assert (rerank.status_code, rerank.json()["code"]) == (503, "reranker_unavailable")
            server.start().wait_ready()
            await eventually(lambda: search(client), lambda reply: reply["reranked"] is True)
    finally:
        server.close()


async def test_the_routes_use_the_server(client: httpx.AsyncClient) -> None:
    texts = list(TEXTS.values())
    cohere = (await client.post("/v2/rerank", json={"query": QUERY, "documents": texts, "model": MODEL})).json()
    assert cohere["model"] == MODEL
    for result in cohere["results"]:
        assert result["relevance_score"] == pytest.approx(share_score(QUERY, texts[result["index"]]), abs=1e-5)
    tei = (await client.post("/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True})).json()
    assert [each["index"] for each in tei] == [each["index"] for each in cohere["results"]]
    assert tei[0]["score"] > 1


async def test_a_search_may_be_reranked_by_cosine(tmp_path: Path, embedder: HttpFakeEmbedder) -> None:
    async with gateway(tmp_path, embedder.url) as client:
        await fill(client)
        reply = await search(client, mode="lexical", rerank={"top_n": 10, "model": fakes.MODEL})
        assert reply["reranked"] is True
        for hit in reply["results"]:
            cosine = float(fakes.vector_of(QUERY) @ fakes.vector_of(hit["passage"]["text"]))
            assert hit["score"] == pytest.approx((1 + cosine) / 2, abs=1e-5)


def count_of(metrics: str, outcome: str) -> float:
    """Return the number of searches with an outcome."""
    name = f'tandem_gateway_search_rerankings_total{{outcome="{outcome}"}} '
    (line,) = (line for line in metrics.splitlines() if line.startswith(name))
    return float(line.removeprefix(name))


async def test_a_late_request_gets_504_in_its_shape(client: httpx.AsyncClient, fault: Fault) -> None:
    fault("hung")
    headers = {"x-request-timeout-ms": "100"}
    cohere = await client.post("/v2/rerank", json={"query": QUERY, "documents": ["x"]}, headers=headers)
    assert (cohere.status_code, cohere.json()["code"]) == (504, "deadline_exceeded")
    tei = await client.post("/rerank", json={"query": QUERY, "texts": ["x"]}, headers=headers)
    assert (tei.status_code, tei.json()["error_type"]) == (504, "Backend")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rerank", {"query": QUERY, "documents": ["x"]}),
        ("/rerank", {"query": QUERY, "texts": ["x"]}),
        ("/v1/search", {"query": QUERY, "rerank": {"top_n": 5}}),
    ],
)
async def test_the_work_ends_when_the_client_leaves(
    client: httpx.AsyncClient, fault: Fault, path: str, body: dict[str, Any]
) -> None:
    fault("hung")
    with pytest.raises(httpx.ReadTimeout):
        await client.post(path, json=body, timeout=0.5)

    async def cancelled() -> bool:
        metrics = (await client.get("/metrics")).text
        calls = 'tandem_gateway_reranker_call_duration_seconds_count{outcome="error"} 1.0'
        return calls in metrics and f'tandem_gateway_requests_total{{code="499",route="{path}"}} 1.0' in metrics

    await eventually(cancelled, bool)
