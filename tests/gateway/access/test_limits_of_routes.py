"""A real server refuses what is beyond the limits of a key, on the hot routes, on Litestar's, and for MCP."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.access.token_claims import ID_PREFIX, MAX_CALLER_CHARS
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.app import make_app
from tandem_gateway.ports.tokens import MAX_SUBJECT_CHARS
from tandem_gateway.records.limits import parse_limits
from tandem_gateway.settings import Settings
from tests.support.fakes import eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.serving import serving

SEARCH = ("POST", "/v1/search", {"query": "words"})
EMBEDDINGS = ("POST", "/v1/embeddings", {"input": "words"})
COLLECTIONS = ("GET", "/v1/collections", None)
LIST_TOOLS = ("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
OF_OLLAMA = ("POST", "/api/embed", {"input": "words"})
Request = tuple[str, str, Any]


class Asked:
    """A running gateway with a key of the role ``admin`` for each of some lists of limits."""

    def __init__(self, port: int, keys: list[str]) -> None:
        self.port = port
        self.keys = keys

    async def send(self, key: str, request: Request) -> tuple[int, dict[str, str], Any]:
        return await asyncio.to_thread(self._send, key, *request)

    def _send(self, key: str, method: str, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        headers["accept"] = "application/json, text/event-stream"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        told = {name.lower(): value for name, value in reply.getheaders()}
        return reply.status, told, json.loads(content) if content.startswith((b"{", b"[")) else content


@asynccontextmanager
async def gateway(data_dir: Path, *limits: list[str] | None, **options: object) -> AsyncIterator[Asked]:
    store = SqliteKeyStore(data_dir)
    keys = [KeyAdministration(store).create(NewKey("a key", "admin", limits=each))[1] for each in limits]
    store.close()
    with HttpFakeEmbedder() as embedder:
        settings = Settings(data_dir=data_dir, embedder_url=embedder.url, access_log=False, **options)  # type: ignore[arg-type]
        app, running = make_app(settings, lambda: None)
        async with serving(app, lifespan=True) as port:
            await eventually(running.health, lambda health: health.status == "ok")
            yield Asked(port, keys)


def documents(count: int) -> Request:
    return "POST", "/v1/ingest", {"documents": [{"id": str(number), "text": "words"} for number in range(count)]}


@pytest.mark.parametrize(
    "request_", [SEARCH, EMBEDDINGS, COLLECTIONS, LIST_TOOLS, OF_OLLAMA], ids=lambda request: str(request[1])
)
async def test_every_kind_of_route_tells_what_is_left_and_refuses_what_is_not(tmp_path: Path, request_: Request):
    async with gateway(tmp_path, ["requests=2/hour"], None, mcp=True) as asked:
        limited, free = asked.keys
        for left in ("1", "0"):
            status, headers, _ = await asked.send(limited, request_)
            assert status in (200, 404)  # there is no collection yet
            assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("2", left)
            assert 0 < int(headers["ratelimit-reset"]) <= 3600
        status, headers, body = await asked.send(limited, request_)
        assert status == 429
        assert 1700 < int(headers["retry-after"]) <= 1800
        assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("2", "0")
        message = body["error"]
        if request_ is not OF_OLLAMA:
            assert (message["code"], message["type"], message["param"]) == (
                "rate_limited",
                "rate_limit_error",
                "requests",
            )
            message = message["message"]
        assert "2 requests per hour (requests=2/hour)" in message
        status, headers, _ = await asked.send(free, request_)
        assert status in (200, 404)
        assert not any(name.startswith("ratelimit") for name in headers)


async def test_the_setting_limits_every_key_without_limits_of_its_own(tmp_path: Path):
    async with gateway(tmp_path, None, [], ["requests=3/day"], key_limits=parse_limits(["requests=1/day"])) as asked:
        counts = []
        for key in asked.keys:
            statuses = [(await asked.send(key, COLLECTIONS))[0] for _ in range(5)]
            counts.append(statuses.count(200))
    assert counts == [1, 5, 3]


async def test_documents_are_limited_and_those_of_a_refused_ingest_do_not_count(tmp_path: Path):
    async with gateway(tmp_path, ["documents=5/day"]) as asked:
        (key,) = asked.keys
        status, headers, _ = await asked.send(key, documents(3))
        assert (status, headers["ratelimit-remaining"]) == (202, "2")
        status, headers, body = await asked.send(key, documents(3))
        assert (status, body["error"]["code"], body["error"]["param"]) == (429, "rate_limited", "documents")
        assert "documents=5/day" in body["error"]["message"]
        assert 0 < int(headers["retry-after"]) <= 86_400
        status, _, body = await asked.send(key, documents(6))
        assert (status, body["error"]["code"], body["error"]["param"]) == (422, "limit_exceeded", "documents")
        assert (await asked.send(key, documents(2)))[0] == 202


async def test_documents_that_a_key_had_stored_already_do_not_count_twice(tmp_path: Path):
    async with gateway(tmp_path, ["documents=4/day"]) as asked:
        (key,) = asked.keys
        with_key = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=60)
        try:
            for _ in range(3):
                headers = {"authorization": f"Bearer {key}", "idempotency-key": "once"}
                headers["content-type"] = "application/json"
                body = json.dumps(documents(2)[2]).encode()
                await asyncio.to_thread(with_key.request, "POST", "/v1/ingest", body, headers)
                reply = await asyncio.to_thread(with_key.getresponse)
                reply.read()
                assert (reply.status, reply.headers["ratelimit-remaining"]) == (202, "2")
        finally:
            with_key.close()


async def test_documents_that_the_filter_of_a_key_leaves_out_do_not_count(tmp_path: Path):
    async with gateway(tmp_path, None) as asked:
        (admin,) = asked.keys
        wanted = {"name": "a", "role": "ingest", "filter": {"tenant": "a"}, "limits": ["documents=5/day"]}
        key = (await asked.send(admin, ("POST", "/v1/admin/keys", wanted)))[2]["key"]
        assert (await asked.send(admin, documents(1)))[0] == 202
        sent = [{"text": "words"}, {"text": "words", "metadata": {"tenant": "b"}}]
        status, headers, job = await asked.send(key, ("POST", "/v1/ingest", {"documents": sent, "on_error": "skip"}))
        assert (status, job["total_documents"], job["skipped_documents"]) == (202, 1, 1)
        assert headers["ratelimit-remaining"] == "4"


async def test_tokens_are_counted_afterwards_and_lead_to_a_refusal(tmp_path: Path):
    async with gateway(tmp_path, ["tokens=3/day"]) as asked:
        (key,) = asked.keys
        status, headers, body = await asked.send(key, EMBEDDINGS)
        assert status == 200
        used = body["usage"]["total_tokens"]
        assert used > 0
        assert int(headers["ratelimit-remaining"]) == max(0, 3 - used)
        while int(headers["ratelimit-remaining"]) > 0:
            status, headers, body = await asked.send(key, EMBEDDINGS)
            assert status == 200
        reranked = {"query": "words", "mode": "lexical", "rerank": {"top_n": 3}}
        searches = ("POST", "/v1/search", reranked), ("POST", "/v1/search/batch", {"searches": [reranked]})
        for request in (EMBEDDINGS, documents(1), *searches):
            status, _, body = await asked.send(key, request)
            assert (status, body["error"]["code"], body["error"]["param"]) == (429, "rate_limited", "tokens")
        assert (await asked.send(key, COLLECTIONS))[0] == 200


async def test_probes_and_metrics_are_not_limited(tmp_path: Path):
    async with gateway(tmp_path, ["requests=1/day"]) as asked:
        (key,) = asked.keys
        for path in ("/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/livez/"):
            assert (await asked.send(key, ("GET", path, None)))[0] == 200
        assert (await asked.send(key, COLLECTIONS))[0] == 200
        assert (await asked.send(key, COLLECTIONS))[0] == 429
        _, _, metrics = await asked.send(key, ("GET", "/metrics", None))
        assert b'tandem_gateway_rate_limited_total{resource="requests"} 1.0' in metrics


async def test_a_key_made_over_http_has_its_limits_and_they_hold_at_once(tmp_path: Path):
    async with gateway(tmp_path, None) as asked:
        (admin,) = asked.keys
        wanted = {"name": "a", "role": "search", "limits": ["requests=1/minute:burst=2", "documents=5/day"]}
        status, _, made = await asked.send(admin, ("POST", "/v1/admin/keys", wanted))
        assert (status, made["limits"]) == (201, wanted["limits"])
        statuses = [(await asked.send(made["key"], COLLECTIONS))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        _, _, listed = await asked.send(admin, ("GET", "/v1/admin/keys", None))
        assert [each["limits"] for each in listed["keys"]] == [None, wanted["limits"]]


@pytest.mark.parametrize(
    ("limits", "param"),
    [
        (["requests=1/week"], "limits[0]"),
        (["requests=1/day", "tokens"], "limits[1]"),
        (["requests=1/day", "requests=2/day"], "limits"),
        (["requests=1/day"] * 13, "limits"),
    ],
)
async def test_limits_that_are_not_valid_are_refused(tmp_path: Path, limits: list[str], param: str):
    async with gateway(tmp_path, None) as asked:
        wanted = {"name": "a", "role": "search", "limits": limits}
        status, _, body = await asked.send(asked.keys[0], ("POST", "/v1/admin/keys", wanted))
        assert (status, body["error"]["param"]) == (422, param)
        assert "expected" in body["error"]["message"] or "two limits" in body["error"]["message"]


async def test_the_tokens_of_documents_count(tmp_path: Path):
    async with gateway(tmp_path, None) as asked:
        (admin,) = asked.keys
        status, _, job = await asked.send(admin, documents(3))
        assert status == 202
        path = f"/v1/jobs/{job['job_id']}?wait_seconds=30"
        assert (await asked.send(admin, ("GET", path, None)))[2]["status"] == "completed"
        _, _, listed = await asked.send(admin, ("GET", "/v1/admin/usage", None))
        assert listed["usage"][0]["tokens"] >= 3


async def test_usage_is_shown_by_day_and_key_and_outlives_a_restart(tmp_path: Path):
    async with gateway(tmp_path, None) as asked:
        (admin,) = asked.keys
        assert (await asked.send(admin, documents(3)))[0] == 202
        tokens = (await asked.send(admin, EMBEDDINGS))[2]["usage"]["total_tokens"]
        _, _, listed = await asked.send(admin, ("GET", "/v1/admin/usage", None))
        (used,) = listed["usage"]
        assert used["key"] == admin.split("_")[1]
        assert (used["requests"], used["documents"]) == (3, 3)
        assert used["tokens"] >= tokens
    async with gateway(tmp_path) as again:
        again.keys = [admin]
        day = used["day"]
        target = f"/v1/admin/usage?from={day}&key={used['key']}"
        _, _, listed = await again.send(admin, ("GET", target, None))
        assert next(each["requests"] for each in listed["usage"] if each["day"] == day) >= 3
        _, _, listed = await again.send(admin, ("GET", "/v1/admin/usage?key=absent", None))
        assert listed == {"usage": []}
        target = f"/v1/admin/usage?key={ID_PREFIX}{'x' * MAX_SUBJECT_CHARS}"
        assert (await again.send(admin, ("GET", target, None)))[0] == 200


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("to=2026-W01-1", "to"),
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("key=", "key"),
        (f"key={'x' * (MAX_CALLER_CHARS + 1)}", "key"),
        ("day=1", "day"),
    ],
)
async def test_a_query_for_usage_that_is_not_valid_is_refused(tmp_path: Path, query: str, param: str):
    async with gateway(tmp_path, None) as asked:
        status, _, body = await asked.send(asked.keys[0], ("GET", f"/v1/admin/usage?{query}", None))
        assert (status, body["error"]["param"]) == (422, param)


async def test_the_tokens_of_a_reranking_count(tmp_path: Path):
    rerank = ("POST", "/v1/rerank", {"query": "two words", "documents": ["three more words", "one"]})
    async with gateway(tmp_path, ["tokens=1000/day"], ["tokens=3/day"]) as asked:
        many, few = asked.keys
        _, _, body = await asked.send(many, rerank)
        read = body["usage"]["total_tokens"]
        assert read >= 6
        _, headers, _ = await asked.send(many, COLLECTIONS)
        assert headers["ratelimit-remaining"] == str(1000 - read)
        assert (await asked.send(few, rerank))[0] == 200
        status, _, body = await asked.send(few, rerank)
        assert (status, body["code"], body["param"]) == (429, "rate_limited", "tokens")


async def test_the_tokens_of_a_search_that_reranks_count(tmp_path: Path):
    async with gateway(tmp_path, ["tokens=1000/day"], None) as asked:
        limited, free = asked.keys
        _, _, job = await asked.send(free, documents(3))
        await asked.send(free, ("GET", f"/v1/jobs/{job['job_id']}?wait_seconds=30", None))
        search = {"query": "words", "mode": "lexical", "rerank": {"top_n": 3}}
        status, headers, body = await asked.send(limited, ("POST", "/v1/search", search))
        assert (status, body["reranked"]) == (200, True)
        _, headers, _ = await asked.send(limited, COLLECTIONS)
        assert int(headers["ratelimit-remaining"]) < 1000
