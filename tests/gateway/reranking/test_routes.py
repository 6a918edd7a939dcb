"""The routes that rerank, over HTTP: the shapes of Cohere, Jina and TEI, and their errors."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.gateway.reranking.gateways import gateway
from tests.support.fakes import MODEL, vector_of
from tests.support.http_embedder import HttpFakeEmbedder

QUERY = "a pet"
TEXTS = ["a cat", "a dog", "some tea", "a mat"]
SCORES = [(1 + float(vector_of(QUERY) @ vector_of(text))) / 2 for text in TEXTS]
ORDER = sorted(range(len(TEXTS)), key=lambda place: -SCORES[place])
COHERE = ("/v1/rerank", "/v2/rerank")


@pytest.fixture
def embedder() -> Iterator[HttpFakeEmbedder]:
    with HttpFakeEmbedder() as embedder:
        yield embedder


@pytest.fixture
async def client(tmp_path: Path, embedder: HttpFakeEmbedder) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway(tmp_path, embedder.url, max_rerank_documents=5, max_text_chars=50, max_query_chars=20) as client:
        yield client


async def rerank(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    reply = await client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


@pytest.mark.parametrize("path", COHERE)
async def test_cohere_gets_every_document_by_descending_relevance(client: httpx.AsyncClient, path: str) -> None:
    reply = await client.post(path, json={"model": MODEL, "query": QUERY, "documents": TEXTS, "top_n": len(TEXTS)})
    found = reply.json()
    assert [each["index"] for each in found["results"]] == ORDER
    assert [each["relevance_score"] for each in found["results"]] == pytest.approx(
        [SCORES[place] for place in ORDER], abs=1e-6
    )
    assert found["id"] == reply.headers["x-request-id"]
    assert found["meta"] == {"api_version": {"version": path[2]}}
    assert found["model"] == MODEL
    assert found["usage"]["total_tokens"] == 3 * (1 + len(TEXTS))
    assert all(each.keys() == {"index", "relevance_score"} for each in found["results"])


@pytest.mark.parametrize("path", COHERE)
async def test_documents_may_be_objects_and_come_back(client: httpx.AsyncClient, path: str) -> None:
    documents: list[Any] = [TEXTS[0], *({"text": text, "id": 7} for text in TEXTS[1:])]
    found = await rerank(client, path, query=QUERY, documents=documents, top_n=2, return_documents=True)
    assert [(each["index"], each["document"]) for each in found["results"]] == [
        (place, {"text": TEXTS[place]}) for place in ORDER[:2]
    ]


@pytest.mark.parametrize("path", COHERE)
async def test_unknown_fields_are_ignored_and_nulls_are_absent_fields(client: httpx.AsyncClient, path: str) -> None:
    assert len((await rerank(client, path, query=QUERY, documents=TEXTS, model=""))["results"]) == len(TEXTS)
    found = await rerank(
        client, path, query=QUERY, documents=TEXTS, model=None, top_n=None, max_tokens_per_doc=4096, user="someone"
    )
    assert len(found["results"]) == len(TEXTS)


async def test_what_open_webui_sends_without_a_key(client: httpx.AsyncClient) -> None:
    body = json.dumps({"model": MODEL, "query": QUERY, "documents": TEXTS, "top_n": len(TEXTS)})
    headers = {"content-type": "application/json", "authorization": "Bearer "}  # httpx2 does not send such a value

    def post() -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", client.base_url.port, timeout=60)
        try:
            connection.request("POST", "/v1/rerank", body, headers)
            return json.load(connection.getresponse())
        finally:
            connection.close()

    found = await asyncio.to_thread(post)
    assert {each["index"] for each in found["results"]} == set(range(len(TEXTS)))


async def test_tei_gets_a_list(client: httpx.AsyncClient) -> None:
    found: Any = await rerank(client, "/rerank", query=QUERY, texts=TEXTS)
    assert [each["index"] for each in found] == ORDER
    assert [each["score"] for each in found] == pytest.approx([SCORES[place] for place in ORDER], abs=1e-6)
    assert all(each.keys() == {"index", "score"} for each in found)
    texts: Any = await rerank(client, "/rerank", query=QUERY, texts=TEXTS, return_text=True, truncate=True)
    assert [each["text"] for each in texts] == [TEXTS[place] for place in ORDER]


async def test_tei_gets_raw_scores(client: httpx.AsyncClient) -> None:
    found: Any = await rerank(client, "/rerank", query=QUERY, texts=TEXTS, raw_scores=True)
    assert [each["score"] for each in found] == pytest.approx([2 * SCORES[place] - 1 for place in ORDER], abs=1e-6)


@pytest.mark.parametrize(
    ("change", "status", "param", "limit"),
    [
        ({"query": "x" * 21}, 422, "query", "20"),
        ({"query": " "}, 422, "query", "white space"),
        ({"documents": []}, 422, "documents", "1 to 5"),
        ({"documents": ["x"] * 6}, 422, "documents", "1 to 5"),
        ({"documents": ["x", "y" * 51]}, 422, "documents[1]", "50"),
        ({"documents": ["x", {"text": "\n"}]}, 422, "documents[1]", "white space"),
        ({"documents": ["a\0"]}, 422, "documents[0]", "U+0000"),
        ({"documents": [1]}, 422, "documents[0]", "documents"),
        ({"documents": [{"title": "x"}]}, 422, "documents[0].text", "text"),
        ({"top_n": 0}, 422, "top_n", "from 1"),
        ({"top_n": "5"}, 422, "top_n", "top_n"),
    ],
)
@pytest.mark.parametrize("path", COHERE)
async def test_errors_name_the_field_and_the_limit_in_coheres_shape(
    client: httpx.AsyncClient, path: str, change: dict[str, Any], status: int, param: str, limit: str
) -> None:
    reply = await client.post(path, json={"query": QUERY, "documents": TEXTS, **change})
    found = reply.json()
    assert (reply.status_code, found["param"]) == (status, param), found
    assert limit in found["message"]
    assert found.keys() == {"message", "code", "param"}


@pytest.mark.parametrize("path", COHERE)
async def test_the_model_that_serves_answers_for_any_name(client: httpx.AsyncClient, path: str) -> None:
    asked = {"query": QUERY, "documents": TEXTS}
    assert (await rerank(client, path, **asked, model="rerank-v3.5"))["model"] == MODEL


@pytest.mark.parametrize("path", COHERE)
async def test_another_model_is_refused_if_models_are_strict(
    tmp_path: Path, embedder: HttpFakeEmbedder, path: str
) -> None:
    async with gateway(tmp_path, embedder.url, strict_model=True) as client:
        reply = await client.post(path, json={"query": QUERY, "documents": TEXTS, "model": "another"})
    found = reply.json()
    assert (reply.status_code, found["param"]) == (422, "model"), found
    assert MODEL in found["message"]


async def test_errors_in_teis_shape(client: httpx.AsyncClient) -> None:
    reply = await client.post("/rerank", json={"query": QUERY, "texts": ["x"] * 6})
    assert reply.status_code == 422
    assert reply.json() == {
        "error": "texts: 1 to 5 documents were expected, not 6 (TANDEM_MAX_RERANK_DOCUMENTS)",
        "error_type": "Validation",
    }
    late = await client.post("/rerank", json={"query": QUERY, "texts": TEXTS}, headers={"x-request-timeout-ms": "0"})
    assert (late.status_code, late.json()["error_type"]) == (422, "Validation")


async def test_bodies_that_cannot_be_read_have_errors_in_the_shape(client: httpx.AsyncClient) -> None:
    broken = await client.post("/v2/rerank", content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_body")
    plain = await client.post("/v2/rerank", content=b"{}", headers={"content-type": "text/plain"})
    assert (plain.status_code, plain.json()["param"]) == (415, "content-type")


async def test_a_body_over_the_limit_is_refused(tmp_path: Path, embedder: HttpFakeEmbedder) -> None:
    async with gateway(tmp_path, embedder.url, max_rerank_body_bytes=1024) as client:
        for path, message in (("/v1/rerank", "message"), ("/rerank", "error")):
            large = await client.post(path, json={"query": "x" * 2000})
            assert large.status_code == 413
            assert "1024 bytes" in large.json()[message]


async def test_an_embedder_that_does_not_answer_gets_503(tmp_path: Path) -> None:
    async with gateway(tmp_path, "http://127.0.0.1:9") as client:
        reply = await client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        assert (reply.status_code, reply.json()["code"]) == (503, "embedder_unavailable")
        assert reply.headers["retry-after"] == "1"
        tei = await client.post("/rerank", json={"query": QUERY, "texts": TEXTS})
        assert (tei.status_code, tei.json()["error_type"]) == (503, "Unhealthy")
