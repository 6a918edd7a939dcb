"""CORS on every route of a real gateway: the hot route, routed ones, unknown paths, refused requests and forms."""

from pathlib import Path

import httpx2 as httpx
import pytest

from tests.gateway.files.gateways import gateway

APP = "https://app.example"
CROSS_SITE = {"origin": APP, "sec-fetch-site": "cross-site"}
ASKING = {**CROSS_SITE, "access-control-request-method": "POST"}


@pytest.mark.parametrize("origins", [(APP,), ("*",)])
async def test_a_page_of_an_allowed_origin_may_read_every_reply(tmp_path: Path, origins: tuple[str, ...]) -> None:
    async with gateway(tmp_path, cors_origins=origins, max_body_bytes=2000) as client:
        replies = [
            (202, await client.post("/v1/ingest/files", files={"files": ("a.txt", b"a")}, headers=CROSS_SITE)),
            (503, await client.post("/v1/search", json={"query": "x", "mode": "dense"}, headers=CROSS_SITE)),
            (200, await client.post("/v1/search", json={"query": "x", "mode": "lexical"}, headers=CROSS_SITE)),
            (422, await client.post("/v1/search", json={}, headers=CROSS_SITE)),
            (415, await client.post("/v1/search", content=b"{}", headers=CROSS_SITE)),
            (413, await client.post("/v1/ingest", json={"x": "x" * 2000}, headers=CROSS_SITE)),
            (404, await client.get("/nothing", headers=CROSS_SITE)),
            (405, await client.put("/v1/search", headers=CROSS_SITE)),
            (403, await client.get("/livez", headers={**CROSS_SITE, "host": "evil.example"})),
            (404, await client.get("/v1/admin/traffic", headers=CROSS_SITE)),
            (200, await client.get("/livez", headers=CROSS_SITE)),
            (200, await client.head("/livez", headers=CROSS_SITE)),
        ]
    for status, reply in replies:
        assert reply.status_code == status, reply.text
        assert reply.headers["access-control-allow-origin"] in origins
        assert "x-request-id" in reply.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/v1/search", "/v1/ingest", "/v1/collections/a/documents/b/", "/nothing"])
async def test_preflight_requests_are_answered_at_every_path(tmp_path: Path, path: str) -> None:
    headers = {**CROSS_SITE, "access-control-request-method": "POST", "access-control-request-headers": "api-key"}
    async with gateway(tmp_path, cors_origins=(APP,)) as client:
        reply = await client.request("OPTIONS", path, headers=headers)
        assert (reply.status_code, reply.content) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == APP
        assert (await client.get("/livez")).status_code == 200  # the connection can be used again


async def test_without_the_setting_a_page_of_another_origin_gets_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        replies: list[httpx.Response] = [
            await client.get("/livez", headers=CROSS_SITE),
            await client.post("/v1/search", json={"query": "x"}, headers=CROSS_SITE),
            await client.request("OPTIONS", "/v1/search", headers=ASKING),
        ]
    assert [reply.status_code for reply in replies] == [200, 403, 405]
    for reply in replies:
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert "origin" not in reply.headers.get("vary", "")
