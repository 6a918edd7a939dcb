"""No body of a request blocks the event loop of the gateway: other requests are answered meanwhile."""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tandem_gateway.http.coding.negotiation import CODINGS, Coding
from tandem_gateway.http.coding.replies import compress
from tandem_gateway.http.exact_paths import ExactPaths
from tests.gateway.http import asking
from tests.integration.watched import HELD_SECONDS, gateway, held, post
from tests.integration.worst_bodies.operators import COLLECTION, OPERATORS
from tests.integration.worst_bodies.parts import LIMIT
from tests.integration.worst_bodies.searches import CALLS, OTHERS, SEARCHES
from tests.integration.worst_bodies.vectors import VECTORS
from tests.integration.worst_bodies.writes import DOCUMENT, FILES, FORM, INGESTS, PATCHES, SOURCES
from tests.support.openapi import described_app
from tests.support.watchdog import Watchdog

KEY = "a-key-from-outside-of-32-characters"


@pytest.mark.parametrize("make", INGESTS.values(), ids=INGESTS.keys())
async def test_no_ingest_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        status, seconds = await held(f"{url}/v1/ingest", make())
        assert status in (202, 400, 413, 422), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
async def test_no_form_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        status, seconds = await held(f"{url}/v1/ingest/files", make(), FORM)
        assert status in (202, 400, 413, 422), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize("make", SEARCHES.values(), ids=SEARCHES.keys())
async def test_no_search_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        status, seconds = await held(f"{url}/v1/search", make())
        assert status in (200, 400, 413, 422), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize("make", [lambda: b"x" * (9 << 20), lambda: b"x" * (17 << 20)], ids=["a file", "too large"])
async def test_no_loaded_file_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        status, seconds = await held(f"{url}/process", make(), "text/plain", "PUT")
        assert status in (200, 413), status
        assert seconds < HELD_SECONDS


async def test_no_web_search_holds_the_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path) as url:
        metadata = {f"k{n}": "x" * 250 for n in range(10)}
        documents = [{"id": f"{n}", "text": "needle " + "\x01" * 1_500, "metadata": metadata} for n in range(1_000)]
        body = json.dumps({"documents": documents}).encode()
        assert (await held(f"{url}/v1/ingest", body))[0] == 202
        asked = {"query": "needle", "count": 1_000}
        path = f"{url}/v1/collections/default/web-search"
        status, seconds = await held(path, json.dumps(asked).encode())
        assert (status, seconds < HELD_SECONDS) == (200, True), (status, seconds)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("path", "make"),
    [
        ("/v1/search", lambda: bytes(64 << 20)),
        ("/v1/ingest", lambda: bytes(64 << 20)),
        ("/v1/ingest", lambda: random.Random(1).randbytes(LIMIT)),
        ("/v1/ingest", INGESTS["zeros"]),
        ("/v1/ingest/files", lambda: bytes(64 << 20)),
    ],
    ids=["a bomb for a search", "a bomb for an ingest", "noise", "zeros of JSON", "a bomb for a form"],
)
async def test_no_compressed_body_holds_the_gateway(
    tmp_path: Path, path: str, make: Callable[[], bytes], coding: Coding
) -> None:
    body = compress(make(), coding)
    async with gateway(tmp_path) as url:
        kind = FORM if path.endswith("files") else "application/json"
        status, seconds = await held(url + path, body, kind, **{"content-encoding": coding})
        assert status in (400, 413, 422), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize("make", PATCHES.values(), ids=PATCHES.keys())
async def test_no_patch_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        stored = json.dumps({"documents": [{"id": "word", "text": "word", "metadata": {"a": {"b": 1}}}]}).encode()
        assert await asyncio.to_thread(post, f"{url}/v1/ingest", stored) == 202
        status, seconds = await held(url + DOCUMENT, make(), method="PATCH")
        assert status in (200, 400, 413, 422), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize(("path", "make"), OTHERS.values(), ids=OTHERS.keys())
async def test_no_other_body_holds_the_gateway(tmp_path: Path, path: str, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        metadata = [{f"key{n}": n + place for n in range(100)} for place in range(200)]
        stored = json.dumps({"documents": [{"text": "word", "metadata": each} for each in metadata]}).encode()
        assert await asyncio.to_thread(post, f"{url}/v1/ingest", stored) == 202
        status, seconds = await held(url + path, make())
        assert status in (200, 400, 404, 409, 413, 422, 503), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize(("method", "path", "make"), OPERATORS.values(), ids=OPERATORS.keys())
async def test_no_body_of_an_operator_holds_the_gateway(
    tmp_path: Path, method: str, path: str, make: Callable[[], bytes]
) -> None:
    async with gateway(tmp_path, api_key=KEY) as url:
        status, seconds = await held(url + path, make(), method=method, authorization=f"Bearer {KEY}")
        assert status in (200, 201, 400, 404, 409, 413, 422), status
        assert seconds < HELD_SECONDS


def test_every_route_that_takes_a_body_has_its_worst_ones() -> None:
    """A new route needs a line in a table of ``worst_bodies``, or a test of its own that is named here."""
    tested = {("POST", path) for path, _ in OTHERS.values()} | {
        (method, path) for method, path, _ in OPERATORS.values()
    }
    tested |= {
        ("POST", "/v1/ingest"),  # INGESTS
        ("POST", "/v1/ingest/files"),  # FILES
        ("POST", "/v1/search"),  # SEARCHES
        ("POST", "/v1/embeddings"),  # VECTORS
        ("PATCH", DOCUMENT),  # PATCHES
        ("PUT", f"{COLLECTION}/sources/shelf"),  # SOURCES
        ("PUT", "/process"),
        ("POST", f"{COLLECTION}/web-search"),
    }
    paths = ExactPaths(described_app(asking.LIMITS).routes)
    found = set()
    for method, path in tested:
        route = paths.find(path, method)
        assert route is not None, path
        found.add((method, route[0].template))
    taking = {(method, route.template) for route in paths for method in route.methods & {"POST", "PUT", "PATCH"}}
    assert taking - found == set()


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("make", CALLS.values(), ids=CALLS.keys())
async def test_no_call_of_a_tool_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes], version: str) -> None:
    async with gateway(tmp_path, mcp=True) as url:
        texts = ["needle " + "x, " * 33_000, "needle " + "\x01" * 99_000]
        for first in range(0, 40, 20):
            sent = [{"id": str(n), "text": texts[n % 2]} for n in range(first, first + 20)]
            assert await asyncio.to_thread(post, f"{url}/v1/ingest", json.dumps({"documents": sent}).encode()) == 202
        # The keyword index reads the texts before it answers; that is no work of the tool.
        query = json.dumps({"query": "needle", "mode": "lexical"}).encode()
        assert await asyncio.to_thread(post, f"{url}/v1/search", query) == 200
        meta = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = make().replace(b'"params":{', b'"params":{"_meta":%s,' % json.dumps(meta).encode())
        headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": version}
        headers |= {"mcp-method": "tools/call", "mcp-name": "search" if b'"search"' in body else "fetch"}
        async with Watchdog() as watchdog:
            status = await asyncio.to_thread(lambda: post(f"{url}/mcp", body, **headers))
        assert status in (200, 400, 413), status
        assert watchdog.longest < HELD_SECONDS


@pytest.mark.parametrize("make", VECTORS.values(), ids=VECTORS.keys())
async def test_no_request_for_vectors_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        status, seconds = await held(f"{url}/v1/embeddings", make())
        assert status in (400, 413, 422, 503), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
async def test_no_source_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        before = [{"id": f"d{n}", "text": "word", "source": "shelf", "hash": "1"} for n in range(5_000)]
        assert await asyncio.to_thread(post, f"{url}/v1/ingest", json.dumps({"documents": before}).encode()) == 202
        status, seconds = await held(f"{url}/v1/collections/default/sources/shelf", make(), method="PUT")
        assert status in (200, 400, 413, 422), status
        assert seconds < HELD_SECONDS
