"""What refused requests hold of the memory budget afterwards, without the garbage collector: nothing."""

import gc
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tandem_gateway.http.coding.replies import compress
from tandem_runtime.memory import FREE_BYTES
from tests.gateway.coding.test_coded_requests import JSON, coded
from tests.gateway.files.gateways import gateway
from tests.support.fakes import eventually

LIMIT = 1 << 20
HELD = re.compile(r"^tandem_gateway_in_flight_bytes (\S+)$", re.MULTILINE)
PATHS = ["/v1/search/batch", "/v1/ingest", "/v1/embeddings", "/api/embed", "/embed", "/v1/rerank", "/rerank", "/mcp"]


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def holds_nothing(client: httpx.AsyncClient) -> None:
    """Wait until requests hold nothing: a thread that read a body lets it go a moment after the reply."""
    await eventually(lambda: held(client), lambda held: held == 0)


async def held(client: httpx.AsyncClient) -> float:
    found = HELD.search((await client.get("/metrics")).text)
    assert found is not None
    return float(found[1])


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), FREE_BYTES):
        yield body[start : start + FREE_BYTES]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("path", PATHS)
async def test_a_refused_body_holds_no_memory(tmp_path: Path, path: str):
    large = compress(b" " * (4 * LIMIT), "gzip")
    texts = json.dumps({"documents": [{"text": "word " * 20} for _ in range(4000)]}).encode()
    async with gateway(tmp_path, max_body_bytes=LIMIT, max_rerank_body_bytes=LIMIT, mcp=True) as client:
        for body, headers in (
            (large, coded("gzip")),
            (compress(texts[:-3], "gzip"), coded("gzip")),  # not JSON
            (compress(texts, "gzip")[:-3], coded("gzip")),  # cut
            (compress(texts, "zstd")[:-3], coded("zstd")),
        ):
            reply = await client.post(path, content=body, headers={**headers, "accept": "application/json"})
            assert 400 <= reply.status_code < 500, reply.text
            await holds_nothing(client)
        for body in (b" " * (2 * LIMIT), texts[:-3]):
            reply = await client.post(path, content=chunked(body), headers=JSON)
            assert 400 <= reply.status_code < 500, reply.text
            await holds_nothing(client)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/embeddings", "input"), ("/api/embed", "input"), ("/embed", "inputs"), ("/rerank", "texts")],
)
async def test_texts_that_no_embedder_takes_hold_no_memory(tmp_path: Path, path: str, field: str):
    body = {field: [f"{number} word" * 100 for number in range(900)]} | ({"query": "x"} if field == "texts" else {})
    body |= {"model": "all-MiniLM-L6-v2"} if path == "/api/embed" else {}
    async with gateway(tmp_path) as client:
        reply = await client.post(path, json=body)
        assert reply.status_code == 503, reply.text
        await holds_nothing(client)
