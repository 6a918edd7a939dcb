"""An operation refuses a query parameter that it does not know, before it does anything."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tandem_gateway.use_cases.validation import RequestLimits
from tests.gateway.reranking.gateways import gateway
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.openapi import document

LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=50, query_chars=30, top_k=9)
TOKEN = "a-token-for-operators-only"
TAKES_ANY = {"compatible", "embeddings", "rerank", "service"}
"""Tags of the operations that other services' clients and probes call: they may add what the gateway does not know."""


def operations() -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, item in document(LIMITS)["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and (path == "/healthz" or not TAKES_ANY & set(operation["tags"]))
    ]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    with HttpFakeEmbedder() as embedder:
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        async with gateway(tmp_path, embedder.url, admin_token=TOKEN) as client:
            client.headers.update(headers)
            yield client


async def test_every_operation_refuses_an_unknown_query_parameter(client: httpx.AsyncClient) -> None:
    found = operations()
    assert len(found) > 30
    for method, path in found:
        reply = await client.request(method, f"{path}?no_such=1", content=None if method == "GET" else b"{}")
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (422, "unknown_field", "no_such"), (method, path)


async def test_a_deletion_with_an_unknown_parameter_deletes_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.put("/v1/collections/books", content=b"{}")).status_code == 200
    assert (await client.delete("/v1/collections/books?filter=%7B%7D")).status_code == 422
    assert (await client.get("/v1/collections/books")).status_code == 200


async def test_json_lines_have_parameters_that_json_has_not(client: httpx.AsyncClient) -> None:
    for name in ("collection", "on_error"):
        reply = await client.post(f"/v1/ingest?{name}=skip", content=b'{"documents": [{"text": "a"}]}')
        assert (reply.status_code, reply.json()["error"]["param"]) == (422, name)
    lines = {"content-type": "application/x-ndjson"}
    reply = await client.post("/v1/ingest?collection=books&no_such=1", content=b'{"text": "a"}\n', headers=lines)
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "no_such")
    reply = await client.post("/v1/ingest?collection=books", content=b'{"text": "a"}\n', headers=lines)
    assert reply.status_code == 202
