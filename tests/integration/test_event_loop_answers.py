"""No answer of the gateway blocks its event loop, however large it is."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx2 as httpx
import numpy as np
import pytest

from tandem_gateway.http.coding.negotiation import CODINGS
from tandem_gateway.http.compatible.vectors import BASE64_BYTES, FLOAT_BYTES, base64, numbers, write_vectors
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.use_cases.embed_request import EmbeddedTexts
from tandem_runtime.memory import MemoryBudget
from tests.integration.watched import HELD_SECONDS, gateway, held
from tests.support.reembedding import NEW, fill_second
from tests.support.stores import document, ingest, opened
from tests.support.watchdog import Watchdog


@pytest.mark.parametrize("dimensions", [384, 1024])
@pytest.mark.parametrize(("row", "number_bytes"), [(numbers, FLOAT_BYTES), (base64, BASE64_BYTES)])
async def test_no_reply_with_vectors_holds_the_gateway(
    dimensions: int, row: Callable[[Vectors], bytes], number_bytes: int
) -> None:
    block = np.random.default_rng(1).standard_normal((2048, dimensions)).astype(np.float32)
    memory = MemoryBudget(1 << 30, "A_SETTING")
    embedded = EmbeddedTexts([block], "a-model", 0, 0)
    async with Watchdog() as watchdog:
        reply = await write_vectors(
            embedded,
            b"[",
            lambda place, vector: row(vector),
            b"]",
            memory,
            number_bytes=number_bytes,
            turn=asyncio.Lock(),
        )
    assert len(reply.body) > 2048 * dimensions * 5
    assert watchdog.longest < HELD_SECONDS


async def test_no_comparison_of_two_models_holds_the_gateway(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for job in range(8):
            await ingest(store, [document(f"{job} {number}") for number in range(1000)], str(job))
        await store.reembeddings.start("default", NEW)
        await fill_second(store, limit=1000)
    async with gateway(tmp_path) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        reembed = f"{url}/v1/collections/default/reembed"
        async with Watchdog() as watchdog:
            overlap = (await client.get(f"{reembed}/overlap?queries=100")).json()
            assert (overlap["queries"], overlap["top_k"]) == (100, 10)
            for method, path in (("GET", ""), ("POST", "/switch"), ("POST", "/rollback"), ("DELETE", "")):
                reply = await client.request(method, reembed + path)
                assert reply.status_code == 200, reply.text
        assert watchdog.longest < HELD_SECONDS


async def test_no_answer_holds_the_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path) as url:
        texts = ["needle " + "x, " * 33_000, "needle " + "\x01" * 99_000]
        for number in range(10):
            body = json.dumps(
                {"documents": [{"id": f"{number}-{n}", "text": texts[n % 2]} for n in range(10)]}
            ).encode()
            assert (await held(f"{url}/v1/ingest", body))[0] == 202
        for top_k, more in ((100, {}), (12, {}), (12, {"highlight": True})):
            query = json.dumps({"query": "needle", "top_k": top_k, "mode": "lexical", **more}).encode()
            for accepted in ("identity", *CODINGS):
                status, seconds = await held(f"{url}/v1/search", query, **{"accept-encoding": accepted})
                assert (status, seconds < HELD_SECONDS) == (422 if top_k == 100 else 200, True), seconds


async def test_no_highlight_holds_the_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path) as url:
        texts = [
            "needle " + unit * (99_000 // len(unit)) for unit in ("a_", "数据库", "e\u0301", "🎉", "needle ", "문서를")
        ]
        body = json.dumps({"documents": [{"id": f"{n}", "text": text} for n, text in enumerate(texts)]}).encode()
        assert (await held(f"{url}/v1/ingest", body))[0] == 202
        query = {"query": "needle 数据 문서 🎉 " + "word " * 1600, "top_k": 6, "mode": "lexical", "highlight": True}
        for path, asked in (("", query), ("/batch", {"searches": [query] * 4})):
            status, seconds = await held(f"{url}/v1/search{path}", json.dumps(asked).encode())
            assert (status, seconds < HELD_SECONDS) == (200, True), (status, seconds)


async def test_no_list_of_a_jobs_documents_holds_the_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        sent = {"documents": [{"id": f"{n:05}" + "\N{GRINNING FACE}" * 251, "text": "x"} for n in range(6_000)]}
        job_id = (await client.post(f"{url}/v1/ingest", json=sent)).json()["job_id"]
        async with Watchdog() as watchdog:
            for query in ("limit=1000", "limit=1000&status=failed"):
                reply = await client.get(f"{url}/v1/jobs/{job_id}/documents?{query}")
                assert (reply.status_code, reply.json()["next_cursor"] is not None) == (200, True)
        assert watchdog.longest < HELD_SECONDS


@pytest.mark.parametrize(
    "path",
    [
        "/v1/collections",
        "/v1/jobs/" + "x" * 60_000,
        "/v1/collections/default/reembed",
        "/v1/collections/default/reembed/overlap?queries=" + "9" * 60_000,
        "/v1/collections/default/documents?id=" + quote("é") * 256,
        "/v1/collections/default/documents?" + "&".join(["id=1"] * 10_000),
        "/" + "%2e%2e%2f" * 6_000,
        "/healthz",
        "/metrics",
        "/openapi.json",
    ],
    ids=lambda path: path[:40],
)
async def test_no_path_holds_the_gateway(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path) as url, Watchdog() as watchdog, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url + path)).status_code < 500
    assert watchdog.longest < HELD_SECONDS
