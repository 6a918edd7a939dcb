"""MCP's own client works with a real gateway and a real embedder, in both ways of the protocol."""

import asyncio
import contextlib
import gzip
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tandem_gateway.http.mcp.budget import cost, tokens
from tests.support.raw_http import connect
from tests.support.stack import Stack, gateway_process, metric, wait_until

WAYS = {"legacy": "2025-11-25", "auto": "2026-07-28"}
"""The way in which the client begins → the revision of the protocol that follows."""

STORY = " ".join(f"Chapter {number}: the lighthouse keeper wrote down the weather of the day." for number in range(400))
DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "cat",
        "text": "A cat sleeps on the warm window sill.",
        "metadata": {"title": "Cats", "url": "https://example.org/cat", "year": 2020, "price": 0.1, "none": None},
    },
    {"id": "dog/1", "text": "A dog barks at the postman.", "metadata": {"filename": "dogs.txt", "year": 2021}},
    {"id": "ship", "text": "The ship leaves the harbour at dawn.", "metadata": {"source": "http://example.org/s"}},
    {"id": "story", "text": STORY, "metadata": {"title": "The lighthouse", "long": "x" * 9_000}},
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("mcp")
    with Stack(folder, model_dir, gateway_env={"TANDEM_MCP": "true"}) as stack:
        stack.client.ingest_and_wait(DOCUMENTS)
        stack.client.ingest_and_wait([{"id": "other", "text": "Another collection."}], "shelf")
        yield stack


@pytest.fixture(params=WAYS)
async def client(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with connected(stack, request.param) as client:
        assert client.protocol_version == WAYS[request.param]
        yield client


@contextlib.asynccontextmanager
async def connected(stack: Stack, way: str = "auto") -> AsyncIterator[Client]:
    async with Client(f"{stack.client.url}/mcp", mode=way) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the structured content of a call. The client has checked it by the tool's schema."""
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert content.type == "text"
    assert not result.is_error, content.text
    assert json.loads(content.text) == result.structured_content
    assert isinstance(result.structured_content, dict)
    assert tokens(cost(content.text.encode())) <= result.structured_content["tokens"]
    assert result.structured_content["tokens"] <= arguments.get("max_tokens", 4_000)
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """Return the message of a call that fails."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert result.structured_content is None
    (content,) = result.content
    assert content.type == "text"
    return content.text


async def test_the_tools_are_described(client: Client) -> None:
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(listed) == {"search", "fetch", "list_collections"}
    search = listed["search"].input_schema["properties"]
    assert (search["query"]["maxLength"], search["top_k"]["maximum"]) == (8192, 1000)
    for tool in listed.values():
        assert tool.output_schema is not None
        assert (tool.input_schema["type"], tool.output_schema["type"]) == ("object", "object")
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint


async def test_search_finds_passages_that_can_be_cited(client: Client) -> None:
    found = await call(client, "search", query="a sleeping cat", top_k=2, mode="dense")
    assert found["results"][0] | {"score": 0} == {
        "id": "cat",
        "title": "Cats",
        "url": "https://example.org/cat",
        "text": "A cat sleeps on the warm window sill.",
        "index": 0,
        "start": 0,
        "end": 37,
        "score": 0,
    }
    assert (found["collection"], found["mode"], found["left_out"], len(found["results"])) == ("default", "dense", 0, 2)


async def test_a_result_without_a_url_has_the_uri_of_its_document(client: Client) -> None:
    (found,) = (await call(client, "search", query="postman", mode="lexical"))["results"]
    assert (found["title"], found["source"], found["url"]) == ("dogs.txt", "dogs.txt", "tandem:default/dog%2F1")


async def test_a_passage_of_a_long_document_is_found_with_its_offsets(client: Client) -> None:
    found = await call(client, "search", query='"Chapter 399"', mode="lexical", top_k=1)
    (passage,) = found["results"]
    assert passage["index"] > 10
    assert passage["text"] == STORY[passage["start"] : passage["end"]]
    assert "Chapter 399" in passage["text"]
    part = await call(client, "fetch", id="story", start=passage["start"], end=passage["end"])
    assert part["text"] == passage["text"]


async def test_a_filter_holds(client: Client) -> None:
    found = await call(client, "search", query="animals", filter={"year": {"$gte": 2021}})
    assert [each["id"] for each in found["results"]] == ["dog/1"]
    exact = await call(client, "search", query="animals", filter={"price": 0.1})
    assert [each["id"] for each in exact["results"]] == ["cat"]


async def test_another_collection_is_searched(client: Client) -> None:
    found = await call(client, "search", query="anything", collection="shelf")
    assert [each["id"] for each in found["results"]] == ["other"]


async def test_fetch_returns_a_document(client: Client) -> None:
    got = await call(client, "fetch", id="cat")
    assert got == {
        "id": "cat",
        "title": "Cats",
        "url": "https://example.org/cat",
        "text": DOCUMENTS[0]["text"],
        "start": 0,
        "end": 37,
        "length": 37,
        "metadata": DOCUMENTS[0]["metadata"],
        "tokens": got["tokens"],
    }


async def test_fetch_returns_several_documents_and_says_what_is_missing(client: Client) -> None:
    got = await call(client, "fetch", ids=["ship", "nothing", "cat", "ship"])
    assert [each["id"] for each in got["documents"]] == ["ship", "cat"]
    assert (got["missing"], got["left_out"]) == (["nothing"], [])
    assert got["documents"][0]["url"] == "http://example.org/s"


async def test_a_long_document_is_read_in_parts(client: Client) -> None:
    text, start = "", 0
    while True:
        part = await call(client, "fetch", id="story", start=start, max_tokens=2_000)
        assert part["metadata_left_out"]
        assert part["length"] == len(STORY)
        assert part["start"] == start
        text += part["text"]
        if "next_start" not in part:
            break
        assert part["next_start"] == part["end"] == len(text)
        start = part["next_start"]
    assert text == STORY


async def test_what_has_no_room_is_told(client: Client) -> None:
    small = await call(client, "search", query="the weather of the day", max_tokens=500)
    assert small["results"]
    assert small["left_out"] + len(small["results"]) == 4
    assert small["left_out"] or any(each.get("truncated") for each in small["results"])
    got = await call(client, "fetch", ids=["story", "cat"], max_tokens=1_000)
    assert got["documents"][0]["next_start"] < len(STORY)
    assert [each["id"] for each in got["documents"]][1:] + got["left_out"] == ["cat"]


async def test_the_collections_are_listed(client: Client) -> None:
    listed = await call(client, "list_collections")
    assert listed["collections"] == [
        {"name": "default", "documents": 4, "pending": 0},
        {"name": "shelf", "documents": 1, "pending": 0},
    ]


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("search", {}, "required field is missing: arguments.query"),
        ("search", {"query": "a", "top_k": 0}, "top_k: a whole number from 1 to 1000 was expected, not 0"),
        ("search", {"query": "a", "top_k": "5"}, "arguments.top_k"),
        ("search", {"query": "a" * 8_193}, "8192"),
        ("search", {"query": "a", "max_tokens": 499}, "max_tokens: a whole number from 500 to 100000 was expected"),
        ("search", {"query": "a", "filter": {"x": {"$near": 1}}}, "filter.x.$near"),
        ("search", {"query": "a", "limit": 5}, "unknown field: arguments.limit"),
        ("search", {"query": "a", "collection": "nothing"}, "collection"),
        ("search", {"query": "a", "collection": "no name"}, "collection"),
        ("fetch", {}, "id: either id or ids was expected"),
        ("fetch", {"id": "a", "ids": ["a"]}, "id: either id or ids was expected"),
        ("fetch", {"id": "nothing"}, "id: collection 'default' has no document 'nothing'"),
        ("fetch", {"ids": []}, "ids: 1 to "),
        ("fetch", {"ids": ["a"] * 51}, "ids: 1 to 50 ids were expected, not 51"),
        ("fetch", {"ids": ["a"], "start": 1}, "start: is for one document"),
        ("fetch", {"id": "cat", "start": 38}, "start: a whole number from 0 to 37"),
        ("fetch", {"id": "cat", "start": 3, "end": 2}, "end: a whole number from start (3)"),
        ("fetch", {"ids": [f"{n:02}" + "1" * 200 for n in range(50)]}, "max_tokens: the ids alone may take"),
        ("list_collections", {"all": True}, "unknown field: arguments.all"),
    ],
)
async def test_an_error_of_a_tool_names_the_field(
    stack: Stack, tool: str, arguments: dict[str, Any], expected: str
) -> None:
    async with connected(stack) as client:
        assert expected in await refused(client, tool, **arguments)


async def test_an_unknown_tool_is_an_error_of_the_protocol(client: Client) -> None:
    with pytest.raises(MCPError) as raised:
        await client.call_tool("delete_everything", {})
    assert raised.value.error.code == -32602
    assert "there is no tool 'delete_everything', only search, fetch, list_collections" in raised.value.error.message


async def test_many_clients_at_once(stack: Stack) -> None:
    async def one(number: int) -> None:
        async with connected(stack, "legacy" if number % 2 else "auto") as client:
            for _ in range(3):
                found = await call(client, "search", query="a sleeping cat", mode="dense", top_k=1)
                assert [each["id"] for each in found["results"]] == ["cat"]

    await asyncio.gather(*[one(number) for number in range(40)])


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def headers(**more: str) -> dict[str, str]:
    return {"accept": "application/json, text/event-stream", "content-type": "application/json", **more}


def test_requests_have_the_edge_of_all_others(stack: Stack) -> None:
    url = f"{stack.client.url}/mcp"
    asked = message("tools/call", name="list_collections", arguments={})
    before = metric(stack.client.url, "tandem_gateway_requests_total", {"route": "/mcp", "code": "200"})
    with httpx.Client(trust_env=False) as http:
        reply = http.post(url, json=asked, headers=headers(**{"x-request-id": "an-mcp-request"}))
        assert (reply.status_code, reply.headers["x-request-id"]) == (200, "an-mcp-request")
        assert "mcp-session-id" not in reply.headers
        assert http.post(url, json=asked, headers=headers(host="evil.example")).status_code == 403
        packed = gzip.compress(json.dumps(asked).encode())
        assert http.post(url, content=packed, headers=headers(**{"content-encoding": "gzip"})).status_code == 200
        assert http.post(url, json=asked, headers=headers(**{"sec-fetch-site": "cross-site"})).status_code == 403
        for method in ("GET", "DELETE", "PUT"):
            refused = http.request(method, url, headers=headers())
            assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    after = metric(stack.client.url, "tandem_gateway_requests_total", {"route": "/mcp", "code": "200"})
    assert after == before + 2
    wait_until(lambda: "an-mcp-request" in stack.gateway.log_text(), "the line of the access log")


@pytest.mark.parametrize(
    ("content", "more", "status", "code", "said"),
    [
        (b"{", {}, 400, -32700, "Parse error"),
        (b"\xff", {}, 400, -32700, ""),
        (b"[" * 20_000, {}, 400, -32700, ""),
        (b"[]", {}, 400, None, ""),
        (b'{"jsonrpc":"2.0"}', {}, 400, None, ""),
        (b" " * 100_000, {}, 413, -32600, "the body has more than 73728 bytes"),
        (b"{}", {"content-type": "text/plain"}, 415, -32600, "content-type"),
        (b"{}", {"content-encoding": "nonsense"}, 415, -32600, "content-encoding"),
        (json.dumps(message("nothing/here")).encode(), {}, 200, -32601, ""),
    ],
)
@pytest.mark.parametrize("version", [None, "2026-07-28"])
def test_what_is_no_message_gets_an_error_of_the_protocol(
    stack: Stack, content: bytes, more: dict[str, str], status: int, code: int | None, said: str, version: str | None
) -> None:
    if version is not None:
        more = {**more, "mcp-protocol-version": version}
    with httpx.Client(trust_env=False) as http:
        reply = http.post(f"{stack.client.url}/mcp", content=content, headers={**headers(), **more})
    error = reply.json()["error"]
    if version is None or status != 200:
        assert reply.status_code == status
        assert code is None or error["code"] == code
        assert said in error["message"]
    else:
        assert 400 <= reply.status_code < 500


def test_a_call_keeps_the_callers_deadline(stack: Stack) -> None:
    asked = message("tools/call", name="search", arguments={"query": "a"})
    with httpx.Client(trust_env=False) as http:
        reply = http.post(
            f"{stack.client.url}/mcp", json=asked, headers=headers(**{"x-request-timeout-ms": "0"})
        ).json()
    assert reply["result"]["isError"]
    assert "x-request-timeout-ms: a whole number from 1" in reply["result"]["content"][0]["text"]


def test_a_gateway_without_the_setting_has_no_such_route(tmp_path: Path, stack: Stack) -> None:
    process, client = gateway_process(tmp_path, tmp_path / "data", stack.embedder_url)
    with process, contextlib.closing(client):
        process.wait_ready()
        reply = client.http.post("/mcp", json=message("ping"), headers=headers())
        assert reply.status_code == 404
        assert "TANDEM_MCP=true" in reply.json()["error"]["message"]


async def test_a_key_opens_its_collections_only(tmp_path: Path, stack: Stack) -> None:
    env = {"TANDEM_MCP": "true", "TANDEM_API_KEY": "an-administrator-has-this-long-key"}
    process, client = gateway_process(tmp_path, tmp_path / "data", stack.embedder_url, env=env)
    with process, contextlib.closing(client):
        process.wait_ready()
        url = f"{client.url}/mcp"
        admin = httpx.Client(headers={"api-key": env["TANDEM_API_KEY"]}, base_url=client.url, trust_env=False)
        with admin:
            for name in ("shelf", "secret"):
                assert admin.put(f"/v1/collections/{name}", json={}).status_code == 200
            made = admin.post("/v1/admin/keys", json={"name": "a", "role": "search", "collections": ["shelf"]}).json()
        with httpx.Client(trust_env=False) as http:
            refused_outside = http.post(url, json=message("ping"), headers=headers())
            assert (refused_outside.status_code, refused_outside.headers["www-authenticate"]) == (401, "Bearer")
        async with (
            httpx.AsyncClient(headers={"authorization": f"Bearer {made['key']}"}, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as caller,
        ):
            listed = await call(caller, "list_collections")
            assert [each["name"] for each in listed["collections"]] == ["shelf"]
            assert (await call(caller, "search", query="x", collection="shelf"))["results"] == []
            assert "forbidden" in await refused(caller, "search", query="x", collection="secret")
            assert "forbidden" in await refused(caller, "fetch", id="x", collection="secret")

        def denied() -> list[tuple[object, ...]]:
            lines = map(json.loads, (tmp_path / "data" / "audit.log").read_text().splitlines())
            fields = ("principal", "action", "collection", "status", "code")
            return [tuple(line[name] for name in fields) for line in lines if line["outcome"] == "denied"]

        wait_until(lambda: len(denied()) >= 3, "the denials of the tools are in the audit log")
        assert denied() == [
            (None, "mcp", None, 401, "unauthorized"),
            (made["id"], "mcp.search", "secret", 200, "forbidden"),
            (made["id"], "mcp.fetch", "secret", 200, "forbidden"),
        ]


@pytest.mark.parametrize("version", WAYS.values())
def test_a_client_that_leaves_cancels_its_call(stack: Stack, version: str) -> None:
    url = stack.client.url

    def left() -> float:
        return metric(url, "tandem_gateway_requests_total", {"route": "/mcp", "code": "499"})

    before = left()
    stack.embedder.signal(signal.SIGSTOP)
    try:
        asked = message("tools/call", name="search", arguments={"query": f"left {version}", "mode": "dense"})
        asked["params"]["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = json.dumps(asked).encode()
        sent = headers(**{"mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": "search"})
        with connect(url) as connection:
            head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
            connection.sendall(
                f"POST /mcp HTTP/1.1\r\nhost: localhost\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body
            )
            wait_until(lambda: metric(url, "tandem_gateway_replica_calls_in_flight"), "the call to the embedder")
        wait_until(lambda: left() == before + 1, "the end of the call")
    finally:
        stack.embedder.signal(signal.SIGCONT)
    wait_until(lambda: stack.client.health().model_loaded, "the embedder's return")
