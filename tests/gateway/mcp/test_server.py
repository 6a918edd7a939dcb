"""The endpoint behind the services' server: what it leaves behind, and what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx
import pytest

from tandem_gateway.errors import Overloaded
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.mcp.server import PATH, McpService
from tandem_gateway.records.documents import CollectionRecord, DocumentView
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.result_pages import Answer
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.edge import edge
from tandem_runtime.http import not_found, route_by_path
from tandem_runtime.memory import MemoryBudget
from tests.support.fakes import WAIT_SECONDS, eventually
from tests.support.serving import serving

LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=50, query_chars=30, top_k=9)
VERSIONS = ("2025-06-18", "2026-07-28")


class HeldGateway:
    """A gateway whose searches end when the test says so; it counts those that end otherwise."""

    def __init__(self) -> None:
        self.search_pipeline = self.documents = self
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.error: Exception | None = None
        self.commands: list[SearchCommand] = []

    def ready(self, principal: object = None) -> "HeldGateway":
        return self

    async def answer(self, command: SearchCommand, timeout: float | None) -> Answer:
        self.commands.append(command)
        self.started.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error is not None:
            raise self.error
        return Answer([], "dense")

    async def collections(self) -> list[CollectionRecord]:
        await asyncio.Event().wait()
        raise AssertionError

    async def document(self, collection: str, doc_id: str) -> DocumentView:
        return DocumentView(doc_id, "word " * 20_000, "{}", True)


@asynccontextmanager
async def served(gateway: HeldGateway, *, answer: int = 1 << 20, timeout: float = 60.0) -> AsyncIterator[str]:
    bodies = BodyLimits(1 << 20, 4096, answer, MemoryBudget(1 << 24, "TANDEM_MAX_BYTES_IN_FLIGHT"))
    service = McpService(gateway, LIMITS, bodies, timeout)  # type: ignore[arg-type]
    app = edge(route_by_path({PATH: service.endpoint}, not_found))
    async with service.running(), serving(app) as port:
        yield f"http://127.0.0.1:{port}{PATH}"
    assert bodies.memory.held == 0


def asked(version: str, tool: str, arguments: str) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a call."""
    meta = {"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}}
    params = f'{{"_meta":{json.dumps(meta)},"name":"{tool}","arguments":{arguments}}}'
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": version,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    return f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'.encode(), headers


async def called(http: httpx.AsyncClient, url: str, version: str, tool: str, arguments: str) -> dict[str, Any]:
    """Return the result of a call."""
    body, headers = asked(version, tool, arguments)
    reply = await http.post(url, content=body, headers=headers)
    assert reply.status_code == 200, reply.text
    result: dict[str, Any] = reply.json()["result"]
    return result


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_that_leaves_cancels_the_search(version: str):
    gateway = HeldGateway()
    async with served(gateway) as url, httpx.AsyncClient(trust_env=False) as http:
        call = asyncio.create_task(called(http, url, version, "search", '{"query":"a"}'))
        await asyncio.wait_for(gateway.started.wait(), WAIT_SECONDS)
        call.cancel()
        await asyncio.wait_for(gateway.cancelled.wait(), WAIT_SECONDS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_calls_leave_no_task_behind(version: str):
    gateway = HeldGateway()
    gateway.go_on.set()
    async with served(gateway) as url, httpx.AsyncClient(trust_env=False) as http:
        await called(http, url, version, "search", '{"query":"a"}')

        async def tasks() -> int:
            return len(asyncio.all_tasks())

        before = await tasks()
        for _ in range(30):
            await asyncio.gather(*[called(http, url, version, "search", '{"query":"a"}') for _ in range(4)])
        # Each of the client's connections has a task of the server's.
        await eventually(tasks, lambda count: count <= before + 4)
    assert len(gateway.commands) == 121


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_tells_when_to_try_again(version: str):
    gateway = HeldGateway()
    gateway.go_on.set()
    async with served(gateway) as url, httpx.AsyncClient(trust_env=False) as http:
        gateway.error = Overloaded("the queue is full", retry_after=6.5)
        result = await called(http, url, version, "search", '{"query":"a"}')
        assert result["content"][0]["text"] == "the queue is full (overloaded; try again in 7 s)"
        gateway.error = KeyError("a secret")
        result = await called(http, url, version, "search", '{"query":"a"}')
        assert result["isError"]
        assert "secret" not in result["content"][0]["text"]
        assert "(internal)" in result["content"][0]["text"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"query":"\\ud800"}', "surrogate"),
        ('{"query":NaN}', "the body"),
        ('{"query":"a","top_k":1e999}', "top_k"),
        ('{"query":"a","filter":{"a":1,"a":2}}', "the key 'a' is there more than once"),
        ("[]", ""),
        ('"query"', ""),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_arguments_that_are_not_json_are_the_clients_error(version: str, arguments: str, expected: str):
    gateway = HeldGateway()
    gateway.go_on.set()
    async with served(gateway) as url, httpx.AsyncClient(trust_env=False) as http:
        body, headers = asked(version, "search", arguments)
        reply = await http.post(url, content=body, headers=headers)
        assert reply.status_code in (200, 400)
        made = reply.json()
        assert ("error" in made) != ("result" in made)
        if "error" in made:
            assert made["error"]["code"] in (-32700, -32600, -32602)
        else:
            assert made["result"]["isError"]
            assert expected in made["result"]["content"][0]["text"]
            assert "internal" not in made["result"]["content"][0]["text"]
    assert gateway.commands == []


METHODS = (
    "completion/complete", "elicitation/create", "initialize", "logging/setLevel", "notifications/cancelled",
    "notifications/initialized", "notifications/progress", "notifications/roots/list_changed", "ping", "prompts/get",
    "prompts/list", "resources/list", "resources/read", "resources/subscribe", "resources/templates/list",
    "resources/unsubscribe", "roots/list", "sampling/createMessage", "server/discover", "subscriptions/listen",
    "tasks/cancel", "tasks/get", "tasks/list", "tools/list",
)  # fmt: skip


@pytest.mark.parametrize("identified", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
async def test_every_method_of_the_protocol_gets_one_reply_and_an_end(version: str, identified: bool):
    async with served(HeldGateway()) as url, httpx.AsyncClient(trust_env=False, timeout=WAIT_SECONDS) as http:
        for method in METHODS:
            body, headers = asked(version, "search", "{}")
            sent = json.loads(body) | {"method": method}
            sent["params"] |= {"notifications": {}, "uri": "a", "taskId": "a", "protocolVersion": version}
            if not identified:
                del sent["id"]
            reply = await http.post(url, json=sent, headers=headers | {"mcp-method": method})
            assert reply.status_code in (200, 202, 400, 404), (method, reply.text)
            assert reply.headers["content-type"] == "application/json"
            assert "content-length" in reply.headers


async def test_numbers_of_a_filter_keep_their_digits():
    gateway = HeldGateway()
    gateway.go_on.set()
    async with served(gateway) as url, httpx.AsyncClient(trust_env=False) as http:
        await called(http, url, VERSIONS[1], "search", '{"query":"a","filter":{"n":0.10000000000000000001}}')
    assert "0.10000000000000000001" in repr(gateway.commands[0].filter)


async def test_a_read_has_a_deadline():
    async with served(HeldGateway(), timeout=0.01) as url, httpx.AsyncClient(trust_env=False) as http:
        result = await called(http, url, VERSIONS[0], "list_collections", "{}")
    assert result["content"][0]["text"] == "the call took longer than 10 ms (deadline_exceeded)"


async def test_an_answer_keeps_to_the_limit_on_bytes():
    async with served(HeldGateway(), answer=1 << 16) as url, httpx.AsyncClient(trust_env=False) as http:
        result = await called(http, url, VERSIONS[0], "fetch", '{"id":"a","max_tokens":90000}')
        assert "max_tokens: the answer may have more than 65536 bytes" in result["content"][0]["text"]
        result = await called(http, url, VERSIONS[0], "fetch", '{"id":"a"}')
        assert not result.get("isError", False)
