"""A real gateway takes tokens of an issuer: at its API, at OpenAI's route and by MCP."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.support.issuing import AUDIENCE, ISSUER, SECRET, JwksServer, jwk, key_set, private_key, token
from tests.support.stack import Stack, wait_until

FIRST = key_set(jwk(private_key("RS256"), "first"), jwk(private_key("ES256"), "curve"))
SECOND = key_set(jwk(private_key("RS256", 1), "second"))
QUERY = {"query": "a cat", "collection": "team-7"}


@dataclass(frozen=True)
class Started:
    stack: Stack
    issuer: JwksServer
    http: httpx.Client
    log: Path

    def ask(self, shown: bytes, path: str, body: object) -> httpx.Response:
        return self.http.post(path, json=body, headers={"authorization": f"Bearer {shown.decode()}"})


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("jwt")
    with JwksServer(FIRST) as issuer:
        env = {
            "TANDEM_MCP": "true",
            "TANDEM_JWT_JWKS": issuer.url,
            "TANDEM_JWT_ISSUER": ISSUER,
            "TANDEM_JWT_AUDIENCE": AUDIENCE,
            "TANDEM_JWT_ROLE_CLAIM": "realm_access.roles",
            "TANDEM_JWT_ROLES": "readers=search,writers=ingest",
            "TANDEM_JWT_JWKS_MIN_INTERVAL_SECONDS": "0.1",
        }
        with Stack(folder, model_dir, gateway_env=env) as stack, httpx.Client(base_url=stack.client.url) as http:
            yield Started(stack, issuer, http, folder / "gateway.log")


def role(*names: str, **changed: object) -> bytes:
    return token(realm_access={"roles": ["offline_access", *names]}, tandem_collections=["team-7"], **changed)


def store(started: Started) -> None:
    """Store a document, and wait until it is found."""
    body = {"collection": "team-7", "documents": [{"id": "cat", "text": "A cat sleeps on the warm window sill."}]}
    assert started.ask(role("writers"), "/v1/ingest", body).status_code == 202
    wait_until(lambda: bool(search(started, role("readers")).json()["results"]), "the document is found")


def search(started: Started, shown: bytes) -> httpx.Response:
    return started.ask(shown, "/v1/search", QUERY)


def test_a_token_searches_and_writes_as_its_claims_say(started: Started) -> None:
    store(started)
    curve = token("ES256", kid="curve", realm_access={"roles": ["readers"]}, tandem_collections=["team-7"])
    assert search(started, curve).status_code == 200
    assert started.ask(role("readers"), "/v1/search", {**QUERY, "collection": "team-8"}).status_code == 403
    assert started.ask(role("readers"), "/v1/ingest", {"documents": [{"text": "a"}]}).status_code == 403
    assert search(started, role()).status_code == 403
    assert search(started, role("readers", exp=1)).status_code == 401
    assert started.http.post("/v1/search", json=QUERY).status_code == 401


def test_openais_route_takes_tokens(started: Started) -> None:
    body = {"input": "a cat", "model": "text-embedding-3-small"}
    reply = started.ask(role("readers"), "/v1/embeddings", body)
    assert (reply.status_code, len(reply.json()["data"])) == (200, 1)
    assert started.ask(role("readers", aud="other"), "/v1/embeddings", body).status_code == 401


async def test_mcp_takes_tokens(started: Started) -> None:
    await asyncio.to_thread(store, started)

    async def found(shown: bytes) -> str:
        headers = {"authorization": f"Bearer {shown.decode()}"}
        async with httpx.AsyncClient(headers=headers) as http:
            transport = streamable_http_client(f"{started.stack.client.url}/mcp", http_client=http)
            async with Client(transport) as client:
                result = await client.call_tool("search", {"query": "a cat", "collection": "team-7"})
                (content,) = result.content
                assert content.type == "text"
                return content.text

    assert "cat" in await found(role("readers"))
    with pytest.raises((MCPError, httpx.HTTPStatusError, ExceptionGroup)):
        await found(role("readers", exp=1))


def test_keys_rotate_and_an_outage_opens_nothing(started: Started) -> None:
    old, new = role("readers"), role("readers", number=1, kid="second")
    assert (search(started, old).status_code, search(started, new).status_code) == (200, 401)
    started.issuer.content = SECOND
    wait_until(lambda: search(started, new).status_code == 200, "the new key counts")
    assert search(started, old).status_code == 401
    started.issuer.status = 500
    try:
        for _ in range(3):
            assert search(started, old).status_code == 401
            assert search(started, new).status_code == 200
        wait_until(lambda: failed_fetches(started) > 0 or search(started, old).status_code != 401, "a fetch fails")
        assert search(started, old).status_code == 401
    finally:
        started.issuer.status, started.issuer.content = 200, FIRST
        wait_until(lambda: search(started, old).status_code == 200, "the first key is back")


def failed_fetches(started: Started) -> float:
    text = started.http.get("/metrics").text
    line = 'tandem_gateway_jwks_fetches_total{result="failed"} '
    return next((float(each.removeprefix(line)) for each in text.splitlines() if each.startswith(line)), 0.0)


def test_no_token_and_no_secret_is_in_the_log(started: Started) -> None:
    shown = [role("readers"), role("readers", exp=1), role("nobody"), token("HS256")]
    for each in shown:
        search(started, each)
    written = started.log.read_text() + started.http.get("/metrics").text
    for each in shown:
        for part in each.decode().split(".")[1:]:
            assert part not in written
    assert SECRET not in written
