"""Compressed requests and replies of a real gateway, on the hot route and on routes of Litestar."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tandem_gateway.http.coding.negotiation import CODINGS, Coding
from tandem_gateway.http.coding.replies import compress
from tandem_gateway.http.coding.zstandard import ZstdDecompressor
from tests.gateway.files.gateways import gateway

JSON = {"content-type": "application/json"}
SEARCH = {"query": "needle", "mode": "lexical", "top_k": 50}
codings = pytest.mark.parametrize("coding", CODINGS)


def coded(coding: str, accept: str = "") -> dict[str, str]:
    return {**JSON, "content-encoding": coding, "accept-encoding": accept}


async def post(client: httpx.AsyncClient, path: str, body: bytes, coding: str, **more: str) -> httpx.Response:
    return await client.post(path, content=body, headers={**coded(coding), **more})


async def stored(client: httpx.AsyncClient, coding: Coding = "gzip", count: int = 50) -> None:
    documents = [{"id": str(n), "text": f"needle {n} " + "word " * 300} for n in range(count)]
    reply = await post(client, "/v1/ingest", compress(json.dumps({"documents": documents}).encode(), coding), coding)
    assert reply.status_code == 202, reply.text


@codings
async def test_every_route_takes_compressed_bodies(tmp_path: Path, coding: Coding) -> None:
    async with gateway(tmp_path) as client:
        await stored(client, coding)
        found = await post(client, "/v1/search", compress(json.dumps(SEARCH).encode(), coding), coding)
        assert (found.status_code, len(found.json()["results"])) == (200, 50)
        batch = compress(json.dumps({"searches": [SEARCH]}).encode(), coding)
        assert len((await post(client, "/v1/search/batch", batch, coding)).json()["replies"]) == 1
        settings = compress(b'{"chunking": null}', coding)
        put = await client.put("/v1/collections/other", content=settings, headers=coded(coding))
        assert put.status_code == 200, put.text
        lines = compress(b'{"text": "a"}\n{"text": "b"}', coding)
        ingested = await post(client, "/v1/ingest", lines, coding, **{"content-type": "application/x-ndjson"})
        assert (ingested.status_code, ingested.json()["total_documents"]) == (202, 2)
        form = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'
        boundary = {"content-type": "multipart/form-data; boundary=x"}
        files = await post(client, "/v1/ingest/files", compress(form, coding), coding, **boundary)
        assert files.status_code == 202, files.text
        assert (await post(client, "/v1/search", json.dumps(SEARCH).encode(), "identity")).status_code == 200


@codings
@pytest.mark.parametrize("path", ["/v1/search", "/v1/search/batch", "/v1/ingest"])
async def test_bad_bodies_are_refused_and_the_connection_stays(tmp_path: Path, coding: Coding, path: str) -> None:
    good = compress(b'{"query": "x"}', coding)
    bomb = compress(bytes(10 << 20), coding)
    async with gateway(tmp_path, max_body_bytes=2 << 20) as client:
        for body, expected in (
            (good[:-3], (400, "malformed_body", "body")),
            (good + b"rest", (400, "malformed_body", "body")),
            (b"{}", (400, "malformed_body", "body")),
            (b"", (400, "malformed_body", "body")),
            (b"x" * 60_000, (400, "malformed_body", "body")),
            (bomb, (413, "body_too_large", "body")),
        ):
            reply = await post(client, path, body, coding)
            error = reply.json()["error"]
            assert (reply.status_code, error["code"], error["param"]) == expected, error
        assert "decompressed" in error["message"]
        assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd, gzip", "compress"])
@pytest.mark.parametrize("path", ["/v1/search", "/v1/ingest"])
async def test_an_unknown_coding_is_refused_and_the_known_ones_are_named(
    tmp_path: Path, coding: str, path: str
) -> None:
    async with gateway(tmp_path) as client:
        reply = await post(client, path, b"{}", coding)
    assert (reply.status_code, reply.json()["error"]["param"]) == (415, "content-encoding")
    assert "gzip or zstd" in reply.json()["error"]["message"]
    assert reply.headers["accept-encoding"] == "zstd, gzip"


def gunzip(body: bytes) -> bytes:
    return zlib.decompress(body, 31)


def unzstd(body: bytes) -> bytes:
    return ZstdDecompressor().decompress(body)


@pytest.mark.parametrize(
    ("accept", "coding", "decompress"),
    [("gzip, deflate, br, zstd", "zstd", unzstd), ("gzip, deflate", "gzip", gunzip), ("x-gzip;q=0.1", "gzip", gunzip)],
)
@pytest.mark.parametrize("count", [20, 50])
async def test_a_large_reply_is_compressed_for_a_client_that_asks(
    tmp_path: Path, accept: str, coding: str, decompress: Callable[[bytes], bytes], count: int
) -> None:
    async with gateway(tmp_path, compress_min_bytes=1000) as client:
        await stored(client, count=count)
        async with client.stream("POST", "/v1/search", json=SEARCH, headers={"accept-encoding": accept}) as reply:
            body = b"".join([part async for part in reply.aiter_raw()])
    assert reply.headers["content-encoding"] == coding
    assert int(reply.headers["content-length"]) == len(body)
    assert "accept-encoding" in reply.headers["vary"]
    found: dict[str, Any] = json.loads(decompress(body))
    assert len(found["results"]) == count


@pytest.mark.parametrize("accept", ["identity", "br", "gzip;q=0", ""])
async def test_other_clients_get_the_reply_as_it_is(tmp_path: Path, accept: str) -> None:
    async with gateway(tmp_path, compress_min_bytes=1000) as client:
        await stored(client)
        reply = await client.post("/v1/search", json=SEARCH, headers={"accept-encoding": accept})
    assert "content-encoding" not in reply.headers
    assert reply.headers["vary"] == "accept-encoding"


async def test_small_replies_and_a_gateway_with_compression_off_compress_nothing(tmp_path: Path) -> None:
    accept = {"accept-encoding": "gzip"}
    async with gateway(tmp_path / "a") as client:
        await stored(client)
        small = await client.post("/v1/search", json={**SEARCH, "top_k": 5}, headers=accept)
        large = await client.post("/v1/search", json=SEARCH, headers=accept)
        assert ("content-encoding" in small.headers, "vary" in small.headers) == (False, False)
        assert large.headers["content-encoding"] == "gzip"
    async with gateway(tmp_path / "b", compress_min_bytes=0) as client:
        await stored(client)
        assert "content-encoding" not in (await client.post("/v1/search", json=SEARCH, headers=accept)).headers


async def test_head_has_the_headers_of_get(tmp_path: Path) -> None:
    accept = {"accept-encoding": "gzip"}
    async with gateway(tmp_path, compress_min_bytes=300) as client:
        for path in ("/openapi.json", "/docs"):
            got, head = await client.get(path, headers=accept), await client.head(path, headers=accept)
            for name in ("content-encoding", "content-length", "vary", "etag"):
                assert head.headers.get(name) == got.headers.get(name)
            assert (got.headers["content-encoding"], head.content) == ("gzip", b"")
        tag = got.headers["etag"]
        assert tag.startswith("W/")
        again = await client.get("/docs", headers={**accept, "if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        script = await client.get("/docs/rapidoc-min.js", headers={"accept-encoding": "zstd"})
        assert (script.status_code, script.headers["content-encoding"]) == (200, "gzip")  # kept compressed


async def test_events_are_not_compressed(tmp_path: Path) -> None:
    async with gateway(tmp_path, compress_min_bytes=1) as client:
        await stored(client, count=1)
        job = (await client.get("/v1/jobs")).json()["jobs"][0]["job_id"]
        url = f"/v1/jobs/{job}/events"
        async with client.stream("GET", url, headers={"accept-encoding": "gzip"}) as reply:
            first = await anext(reply.aiter_raw())
    assert "content-encoding" not in reply.headers
    assert first.startswith(b"event: progress")


@codings
@pytest.mark.parametrize(("path", "shape"), [("/v1/search", dict), ("/api/embed", str), ("/embed", str)])
async def test_an_error_is_not_compressed_and_has_the_shape_of_its_path(
    tmp_path: Path, coding: Coding, path: str, shape: type
) -> None:
    async with gateway(tmp_path, compress_min_bytes=1) as client:
        refused = await client.post(path, content=b"{}", headers={**JSON, "accept-encoding": coding})
        assert refused.status_code == 422
        assert "content-encoding" not in refused.headers
        assert type(refused.json()["error"]) is shape
