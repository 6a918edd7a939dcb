"""No body of a request blocks the event loop of either service: other requests are answered meanwhile."""

import asyncio
import http.client
import json
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2 as httpx
import msgspec
import numpy as np
import pytest

from tandem_embedder import app as embedder_app
from tandem_embedder.lifecycle import Service
from tandem_embedder.model.verified_load import LoadedModel
from tandem_embedder.settings import Settings as EmbedderSettings
from tandem_gateway import app as gateway_app
from tandem_gateway.http.coding.negotiation import CODINGS, Coding
from tandem_gateway.http.coding.replies import compress
from tandem_gateway.http.compatible.vectors import BASE64_BYTES, FLOAT_BYTES, base64, numbers, write_vectors
from tandem_gateway.http.exact_paths import ExactPaths
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.embed_request import EmbeddedTexts
from tandem_runtime.memory import MemoryBudget
from tests.embedder.serving.doubles import FakeModel, FakeSplitter, FakeTokenizer
from tests.embedder.serving.manifests import MANIFEST
from tests.gateway.http import asking
from tests.support.fakes import eventually
from tests.support.openapi import described_app
from tests.support.reembedding import NEW, fill_second
from tests.support.serving import serving
from tests.support.stores import document, ingest, opened
from tests.support.watchdog import Watchdog

HELD_SECONDS = 0.1
LIMIT = 16 << 20
SEARCH_LIMIT = 64 << 10


def filled(limit: int, element: bytes, around: bytes = b'{"documents":[%s]}') -> bytes:
    """Return a body of just under ``limit`` bytes, with as many elements as fit."""
    count = (limit - len(around)) // (len(element) + 1)
    return around % b",".join([element] * count)


def documents(count: int, document: object) -> bytes:
    return json.dumps({"documents": [document] * count}).encode()


METADATA = {f"key{number}": number for number in range(110)}
LISTS = {f"key{number}": [""] * 100 for number in range(11)}

INGESTS: dict[str, Callable[[], bytes]] = {
    # valid, and of the maximum size
    "10,000 documents with 110 keys": lambda: documents(9_900, {"text": "x", "metadata": METADATA}),
    "10,000 documents of prose": lambda: documents(10_000, {"text": "Some words, and some more. " * 55}),
    "10,000 documents with lists": lambda: documents(3_500, {"text": "x", "metadata": LISTS}),
    "documents of the longest text": lambda: documents(160, {"text": "x, " * 33_333}),
    "documents of escapes": lambda: documents(27, {"text": "\x01" * 99_990}),
    # the most that are not valid, and are skipped
    "10,000 that are skipped": lambda: json.dumps(
        {"documents": [{"text": "x"}, *[{"id": "a", "text": "x", "metadata": {"k": [[]]}}] * 9_999], "on_error": "skip"}
    ).encode(),
    "a small body that is skipped": lambda: b'{"on_error":"skip","documents":[{"text":"x"},' + b"0," * 9_000 + b"0]}",
    "large ones that are skipped": lambda: filled(
        LIMIT, b'{"id":"a","text":"' + b"x" * 1_000_000 + b'"}', b'{"on_error":"skip","documents":[{"text":"x"},%s]}'
    ),
    "skipped with a lone surrogate": lambda: json.dumps(
        {"on_error": "skip", "documents": [{"text": "x"}, *[{"text": "\ud800" + "x" * 1_500}] * 9_999]}
    ).encode(),
    "a large one of brackets that is skipped": lambda: (
        b'{"on_error":"skip","documents":[{"text":"x"},' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"]}"
    ),
    # all of it is invalid
    "a million documents": lambda: filled(LIMIT, b'{"text":"x"}'),
    "zeros": lambda: filled(LIMIT, b"0"),
    "empty strings": lambda: filled(LIMIT, b'""'),
    "arrays": lambda: filled(LIMIT, b"[[[[]]]]"),
    "one document with a million keys": lambda: filled(
        LIMIT, b'"k":0', b'{"documents":[{"text":"x","metadata":{%s}}]}'
    ),
    "one document with a list": lambda: filled(LIMIT, b'""', b'{"documents":[{"text":"x","metadata":{"k":[%s]}}]}'),
    "zeros in another field": lambda: filled(LIMIT, b"0", b'{"documents":[{"text":"x"}],"x":[%s]}'),
    "zeros in the collection": lambda: filled(LIMIT, b"0", b'{"documents":[{"text":"x"}],"collection":[%s]}'),
    "a name of zeros and names": lambda: filled(LIMIT, b'"a":[0]', b"{%s}"),
    "a long name": lambda: b'{"' + b" - at `$." * 1_800_000 + b'\\n":1}',
    "names of the message": lambda: b'{"' + b"unknown field `" * 1_000_000 + b'":1}',
    "quotes": lambda: b'{"documents":[{"text":"' + b'\\"' * 8_000_000 + b'"}]}',
    "backslashes": lambda: b'{"documents":[{"text":"' + b"\\\\" * 8_000_000 + b'"}]}',
    "brackets": lambda: b"[" * LIMIT,
    "white space": lambda: b" " * LIMIT,
    "a lone surrogate and a list": lambda: filled(LIMIT, b"0", b'{"collection":"\\ud800","documents":[%s]}'),
    "documents with a lone surrogate": lambda: filled(
        LIMIT // 8, b'{"text":"x"}', b'{"documents":[%s,{"text":"\\ud800"}]}'
    ),
}
SEARCHES: dict[str, Callable[[], bytes]] = {
    "the longest query": lambda: json.dumps({"query": "word " * 1638, "mode": "lexical"}).encode(),
    "a long name": lambda: b'{"' + b" - at `$." * 7_000 + b'\\n":1}',
    "a lone surrogate and a list": lambda: (
        b'{"query":"\\ud800","' + b"k" * 20_000 + b'":[' + b",".join([b"0"] * 20_000) + b"]}"
    ),
    "zeros": lambda: filled(SEARCH_LIMIT, b"0", b'{"query":[%s]}'),
    "many parts of hits": lambda: filled(SEARCH_LIMIT, b'"vector"', b'{"query":"x","mode":"lexical","include":[%s]}'),
    "brackets": lambda: b"[" * SEARCH_LIMIT,
    "over its limit": lambda: b" " * LIMIT,
}
RERANK_LIMIT = 2 << 20
RERANKS = {"/rerank": "texts", "/v1/rerank": "documents", "/v2/rerank": "documents"}


def reranks(field: str) -> dict[str, Callable[[], bytes]]:
    """Return the worst bodies of a route that reranks; ``field`` has its documents."""
    around = b'{"query":"x","%s":[%%s]}' % field.encode()
    return {
        "a thousand documents": lambda: json.dumps({"query": "x", field: ["some words, " * 160] * 1000}).encode(),
        "a million documents": lambda: filled(RERANK_LIMIT, b'"x"', around),
        "objects": lambda: filled(RERANK_LIMIT, b'{"text":"x"}', around),
        "zeros": lambda: filled(RERANK_LIMIT, b"0", around),
        "zeros in another field": lambda: filled(RERANK_LIMIT, b"0", b'{"x":[%s]}'),
        "quotes": lambda: around % (b'"' + b'\\"' * (1 << 20) + b'"')[: RERANK_LIMIT - 100],
        "a lone surrogate": lambda: filled(RERANK_LIMIT, b'"x"', b'{"query":"\\ud800","%s":[%%s]}' % field.encode()),
        "brackets": lambda: b"[" * RERANK_LIMIT,
    }


FILTER = {"$or": [{f"key{n}": {"$in": list(range(100))}} for n in range(30)]}
OTHERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "64 of the longest searches": (
        "/v1/search/batch",
        lambda: json.dumps({"searches": [{"query": "word " * 1638, "mode": "lexical"}] * 64}).encode(),
    ),
    "64 searches of signs": (
        "/v1/search/batch",
        lambda: json.dumps({"searches": [{"query": "-a* " * 2047, "mode": "lexical"}] * 64}).encode(),
    ),
    "64 searches of phrases": (
        "/v1/search/batch",
        lambda: json.dumps({"searches": [{"query": '"a" ' * 2047, "mode": "lexical"}] * 64}).encode(),
    ),
    "many searches": ("/v1/search/batch", lambda: filled(1 << 20, b'{"query":"x"}', b'{"searches":[%s]}')),
    "a batch of zeros": ("/v1/search/batch", lambda: filled(1 << 20, b"0", b'{"searches":[%s]}')),
    "a batch of brackets": ("/v1/search/batch", lambda: b"[" * (1 << 20)),
    "a vector of zeros": ("/v1/search/similar", lambda: filled(SEARCH_LIMIT * 4, b"0", b'{"vector":[%s]}')),
    "a vector of numbers": (
        "/v1/search/similar",
        lambda: filled(SEARCH_LIMIT * 4, b"-0.012345678918063641", b'{"vector":[%s]}'),
    ),
    "a vector of brackets": ("/v1/search/similar", lambda: b'{"vector":' + b"[" * (SEARCH_LIMIT * 4 - 100)),
    "a search by groups": (
        "/v1/search",
        lambda: json.dumps(
            {"query": "word", "mode": "lexical", "top_k": 1000, "group_by": "key0", "diversity": 0.5}
        ).encode(),
    ),
    "a reranked search": (
        "/v1/search",
        lambda: json.dumps({"query": "word", "mode": "lexical", "rerank": {"top_n": 1000}}).encode(),
    ),
    "a search by a long field": (
        "/v1/search",
        lambda: json.dumps({"query": "word", "mode": "lexical", "group_by": "." * 512}).encode(),
    ),
    "a search with a filter": (
        "/v1/search",
        lambda: json.dumps({"query": "x", "mode": "lexical", "filter": FILTER}).encode(),
    ),
    "a filter of brackets": ("/v1/search", lambda: b'{"query":"x","filter":' + b'{"$not":' * 8_000),
    "a filter of many parts": (
        "/v1/search",
        lambda: filled(SEARCH_LIMIT, b"{}", b'{"query":"x","filter":{"$or":[%s]}}'),
    ),
    "a thousand ids to read": (
        "/v1/collections/default/documents/get",
        lambda: json.dumps({"ids": [f"{n:0256}" for n in range(1000)]}).encode(),
    ),
    "ids to delete": ("/v1/collections/default/documents/delete", lambda: filled(1 << 20, b'"x"', b'{"ids":[%s]}')),
    "a filter to delete": (
        "/v1/collections/default/documents/delete",
        lambda: json.dumps({"filter": FILTER}).encode(),
    ),
    "facets": (
        "/v1/collections/default/facets",
        lambda: json.dumps({"fields": [f"key{n}" for n in range(10)], "filter": FILTER}).encode(),
    ),
    **{
        f"a body that {path} does not take": (f"/v1/collections/default/reembed{path}", lambda: b"[" * LIMIT)
        for path in ("", "/switch", "/rollback")
    },
    **{f"{path} with {what}": (path, make) for path, field in RERANKS.items() for what, make in reranks(field).items()},
    "many texts for Ollama": ("/api/embed", lambda: json.dumps({"input": ["some words, " * 660] * 2048}).encode()),
    "empty texts for Ollama": ("/api/embed", lambda: filled(LIMIT, b'""', b'{"input":[%s]}')),
    "a prompt of quotes": ("/api/embeddings", lambda: b'{"prompt":"' + b'\\"' * 8_000_000 + b'"}'),
    "a prompt of empty texts": ("/api/embeddings", lambda: filled(LIMIT, b'""', b'{"prompt":[%s]}')),
    "many texts for TEI": ("/embed", lambda: json.dumps({"inputs": ["some words, " * 660] * 2048}).encode()),
    "empty texts for TEI": ("/embed", lambda: filled(LIMIT, b'""', b'{"inputs":[%s]}')),
    "vectors at Azure's path": (
        "/openai/deployments/x/embeddings",
        lambda: filled(LIMIT, b"[0]", b'{"input":[%s]}'),
    ),
    "facets of zeros": ("/v1/collections/default/facets", lambda: filled(SEARCH_LIMIT, b"0", b'{"fields":[%s]}')),
}
COLLECTION = "/v1/collections/default"
KEYS = "/v1/admin/keys"
OPERATORS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "a key for the longest globs": (
        "POST",
        KEYS,
        lambda: json.dumps({"name": "a" * 100, "role": "search", "collections": ["*a*a*a*" + "?" * 50] * 100}).encode(),
    ),
    "a key for many globs": (
        "POST",
        KEYS,
        lambda: filled(64 << 10, b'"*"', b'{"name":"a","role":"b","collections":[%s]}'),
    ),
    "a key of zeros": ("POST", KEYS, lambda: filled(64 << 10, b"0", b'{"name":[%s]}')),
    "a key with a filter of brackets": (
        "POST",
        KEYS,
        lambda: b'{"name":"a","role":"search","filter":' + b'{"a":' * 10_000,
    ),
    "a key with a filter of fields": (
        "POST",
        KEYS,
        lambda: filled(64 << 10, b'"k":0', b'{"name":"a","role":"search","filter":{%s}}'),
    ),
    "a key of a long name": ("POST", KEYS, lambda: b'{"' + b" - at `$." * 7_000 + b'\n":1}'),
    "a key over its limit": ("POST", KEYS, lambda: b" " * LIMIT),
    "a rotation with a body": ("POST", f"{KEYS}/0123456789ab/rotate", lambda: b"[" * LIMIT),
    "shares of zeros": ("PUT", "/v1/admin/traffic", lambda: filled(4096, b"0", b'{"canary_weight":[%s]}')),
    "shares over their limit": ("PUT", "/v1/admin/traffic", lambda: b" " * LIMIT),
    "a collection of brackets": ("PUT", COLLECTION, lambda: b"[" * LIMIT),
    "a collection of zeros": ("PUT", COLLECTION, lambda: filled(64 << 10, b"0", b'{"chunking":[%s]}')),
    "a collection of unknown fields": ("PUT", COLLECTION, lambda: filled(64 << 10, b'"k":[0]', b"{%s}")),
    "a cancel with a body": ("POST", f"/v1/jobs/job_{'0' * 32}/cancel", lambda: b"[" * LIMIT),
    "a retry with a body": ("POST", f"/v1/jobs/job_{'0' * 32}/retry", lambda: b"[" * LIMIT),
}
"""Name → method, path and body, for an operator's key."""
VECTORS: dict[str, Callable[[], bytes]] = {
    # valid, and of the maximum size
    "2,048 texts of prose": lambda: json.dumps({"input": ["Some words, and some more. " * 280] * 2048}).encode(),
    "2,048 texts of other scripts": lambda: json.dumps(
        {"input": ["\N{GRINNING FACE}é" * 400] * 2048}, ensure_ascii=False
    ).encode(),
    "a long text": lambda: json.dumps({"input": "x, " * 33_333}).encode(),
    # all of it is invalid
    "a text of quotes": lambda: b'{"input":"' + b'\\"' * 8_000_000 + b'"}',
    "texts of quotes": lambda: b'{"input":["' + b'\\"' * 8_000_000 + b'"]}',
    "blank texts": lambda: json.dumps({"input": [" " * 8_000] * 2048}).encode(),
    "zeros": lambda: filled(LIMIT, b"0", b'{"input":[%s]}'),
    "2,000 lists of zeros": lambda: filled(LIMIT, b"[" + b",".join([b"0"] * 4_000) + b"]", b'{"input":[%s]}'),
    "empty strings": lambda: filled(LIMIT, b'""', b'{"input":[%s]}'),
    "empty strings twice": lambda: filled(LIMIT, b'""', b'{"input":[%s],"input":["a"]}'),
    "empty strings in a spelled field": lambda: filled(LIMIT, b'""', b'{"\\u0069nput":[%s]}'),
    "zeros in another field": lambda: filled(LIMIT, b"0", b'{"input":["a"],"x":[%s]}'),
    "objects in another field": lambda: filled(LIMIT, b'{"a":""}', b'{"input":["a"],"x":[%s]}'),
    "zeros in the model": lambda: filled(LIMIT, b"0", b'{"input":"a","model":[%s]}'),
    "brackets": lambda: b"[" * LIMIT,
    "brackets as texts": lambda: b'{"input":' + b"[" * (LIMIT - 100),
    "white space": lambda: b" " * LIMIT,
    "a long name": lambda: b'{"' + b" - at `$." * 1_800_000 + b'\\n":1}',
    "a lone surrogate and a list": lambda: filled(LIMIT, b'""', b'{"model":"\\ud800","input":[%s]}'),
    "over its limit": lambda: b" " * (2 * LIMIT),
}
FORM = "multipart/form-data; boundary=b"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """Return a form of parts: name, filename and content."""
    made = bytearray()
    for name, filename, content in parts:
        named = "" if filename is None else f'; filename="{filename}"'
        made += f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    return bytes(made + b"--b--\r\n")


FILES: dict[str, Callable[[], bytes]] = {
    # valid
    "10,000 rows": lambda: form(("files", "a.csv", b"text,a,b\n" + b"some words,1,2\n" * 10_000)),
    "10,000 rows with 40 columns": lambda: form(
        ("files", "a.csv", b"text" + b"".join(b",c%d" % n for n in range(40)) + (b"\nw" + b",1" * 40) * 10_000)
    ),
    "rows of prose": lambda: form(("files", "a.jsonl", b'{"text":"%s"}\n' % (b"Some words. " * 1000) * 150)),
    "100 files": lambda: form(*[("files", f"{n}.txt", b"some words " * 9000) for n in range(100)]),
    # invalid
    "a long text": lambda: form(("files", "a.txt", b"x" * (LIMIT - 1000))),
    "more rows than allowed": lambda: form(("files", "a.csv", b"text\n" + b"x\n" * (LIMIT // 2 - 1000))),
    "a million parts": lambda: form(*[("files", "a.txt", b"")] * 200_000),
    "a preamble": lambda: b"x" * LIMIT,
    "half of boundaries": lambda: form(("files", "a.txt", b"\r\n--" * (LIMIT // 4 - 1000))),
    "line ends": lambda: form(("files", "a.txt", b"\r\n" * (LIMIT // 2 - 1000))),
    "a long header": lambda: b"--b\r\n" + b"x" * (LIMIT - 10),
    "much metadata": lambda: form(("metadata", None, filled(120_000, b'"k":0', b"{%s}")), ("files", "a.txt", b"x")),
    "nested metadata": lambda: form(("metadata", None, b'{"a":' * 20_000), ("files", "a.txt", b"x")),
    "over its limit": lambda: form(("files", "a.txt", b"x" * (2 * LIMIT))),
}
DOCUMENT = "/v1/collections/default/documents/word"
PATCHES: dict[str, Callable[[], bytes]] = {
    "a thousand keys": lambda: json.dumps({"metadata": {f"key{n}": n for n in range(1_000)}}).encode(),
    "many keys": lambda: json.dumps({"metadata": {str(n): 0.5 for n in range(70_000)}}).encode(),
    "many keys to remove": lambda: json.dumps({"metadata": {str(n): None for n in range(70_000)}}).encode(),
    "many keys and a bad one": lambda: b'{"metadata":{%s"x":[true]}}' % (b'"a":{},' * 149_000),
    "objects": lambda: filled(1 << 20, b'"a":{"b":{"c":{}}}', b'{"metadata":{%s}}'),
    "a long list": lambda: filled(1 << 20, b"0", b'{"metadata":{"a":[%s]}}'),
    "a long text": lambda: json.dumps({"metadata": {"a": "\u00e9" * 170_000}}).encode(),
    "brackets": lambda: b"[" * (1 << 20),
}
SOURCES: dict[str, Callable[[], bytes]] = {
    "10,000 documents": lambda: json.dumps(
        {"documents": [{"id": f"{n:064}", "hash": "0" * 64} for n in range(10_000)]}
    ).encode(),
    "too many documents": lambda: filled(2 << 20, b'{"id":"a","hash":"b"}'),
    "zeros": lambda: filled(2 << 20, b"0"),
    "brackets": lambda: b"[" * (2 << 20),
    "a long name": lambda: b'{"' + b" - at `$." * 200_000 + b'\n":1}',
}
EMBEDS: dict[str, Callable[[], bytes]] = {
    "64 texts": lambda: json.dumps({"texts": ["some words, " * 8_333] * 64}).encode(),
    "a million texts": lambda: filled(8 << 20, b'""', b'{"texts":[%s]}'),
    "zeros": lambda: filled(8 << 20, b"0", b'{"texts":[%s]}'),
    "zeros in another field": lambda: filled(8 << 20, b"0", b'{"x":[%s]}'),
    "a long name": lambda: b'{"' + b" - at `$." * 900_000 + b'\\n":1}',
    "quotes": lambda: b'{"texts":["' + b'\\"' * 4_000_000 + b'"]}',
    "a lone surrogate and a list": lambda: filled(8 << 20, b'""', b'{"kind":"\\ud800","texts":[%s]}'),
}


def called(tool: str, arguments: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}' % (
        tool.encode(),
        arguments,
    )


MCP_LIMIT = SEARCH_LIMIT + (8 << 10)
CALLS: dict[str, Callable[[], bytes]] = {
    "the longest query": lambda: called("search", json.dumps({"query": "word " * 1638, "mode": "lexical"}).encode()),
    "many long passages": lambda: called(
        "search", b'{"query":"needle","mode":"lexical","top_k":40,"max_tokens":100000}'
    ),
    "few tokens of long passages": lambda: called(
        "search", b'{"query":"needle","mode":"lexical","top_k":40,"max_tokens":500}'
    ),
    "many long documents": lambda: called(
        "fetch", json.dumps({"ids": [str(n) for n in range(40)], "max_tokens": 100_000}).encode()
    ),
    "a long document": lambda: called("fetch", b'{"id":"1","max_tokens":100000}'),
    "a filter": lambda: called("search", json.dumps({"query": "x", "mode": "lexical", "filter": FILTER}).encode()),
    "a filter of brackets": lambda: called("search", b'{"query":"x","filter":' + b'{"$not":' * 8_000),
    "zeros": lambda: filled(MCP_LIMIT, b"0", called("search", b'{"query":[%s]}')),
    "ids": lambda: filled(MCP_LIMIT, b'"x"', called("fetch", b'{"ids":[%s]}')),
    "a long name": lambda: called("search", b'{"' + b" - at `$." * 7_000 + b'\\n":1}'),
    "a list of messages": lambda: filled(MCP_LIMIT, b"{}", b"[%s]"),
    "unknown fields": lambda: filled(MCP_LIMIT, b'"k":[0]', b'{"jsonrpc":"2.0","id":1,"method":"ping",%s}'),
    "brackets": lambda: b"[" * MCP_LIMIT,
    "over its limit": lambda: b" " * LIMIT,
}


KEY = "a-key-from-outside-of-32-characters"


@asynccontextmanager
async def gateway(data_dir: Path, **options: object) -> AsyncIterator[str]:
    settings = Settings(data_dir=data_dir, embedder_url="http://127.0.0.1:9", access_log=False, **options)
    app, running = gateway_app.make_app(settings, lambda: None)
    async with serving(app, lifespan=True) as port:
        await eventually(lambda: is_ready(running), bool)
        yield f"http://127.0.0.1:{port}"


async def is_ready(running: "gateway_app.Gateway") -> bool:
    try:
        running.check_ready()
    except Exception:
        return False
    return True


@asynccontextmanager
async def embedder() -> AsyncIterator[str]:
    loading: Future[LoadedModel] = Future()
    settings = EmbedderSettings(workers=1)
    service = Service(settings, MANIFEST, loading)
    loading.set_result(LoadedModel(FakeTokenizer(), FakeSplitter(), FakeModel(), "int8", 1.0, {}))
    async with serving(embedder_app.make_app(service, settings), lifespan=True) as port:
        yield f"http://127.0.0.1:{port}"


def post(url: str, body: bytes, content_type: str = "application/json", method: str = "POST", **headers: str) -> int:
    """Send a body from a separate thread, in one call, which does not compete for the interpreter's lock."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        connection.request(method, address.path, body, {"content-type": content_type, **headers})
        return connection.getresponse().status
    finally:
        connection.close()


async def held(
    url: str, body: bytes, content_type: str = "application/json", method: str = "POST", **more: str
) -> tuple[int, float]:
    async with Watchdog() as watchdog:
        status = await asyncio.to_thread(post, url, body, content_type, method, **more)
    return status, watchdog.longest


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
    """A new route needs a line in a table above, or a test of its own that is named here."""
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


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
async def test_no_source_holds_the_gateway(tmp_path: Path, make: Callable[[], bytes]) -> None:
    async with gateway(tmp_path) as url:
        before = [{"id": f"d{n}", "text": "word", "source": "shelf", "hash": "1"} for n in range(5_000)]
        assert await asyncio.to_thread(post, f"{url}/v1/ingest", json.dumps({"documents": before}).encode()) == 202
        status, seconds = await held(f"{url}/v1/collections/default/sources/shelf", make(), method="PUT")
        assert status in (200, 400, 413, 422), status
        assert seconds < HELD_SECONDS


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


@pytest.mark.parametrize("make", EMBEDS.values(), ids=EMBEDS.keys())
async def test_no_body_holds_the_embedder(make: Callable[[], bytes]) -> None:
    async with embedder() as url:
        status, seconds = await held(f"{url}/embed", make())
        assert status in (200, 400, 413, 422, 429), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize(
    "body",
    [
        msgspec.msgpack.encode({"texts": ["some words, " * 8_333] * 64}),
        b"\x81\xa5texts\xdd\x00\x7a\x12\x00" + b"\xa0" * 8_000_000,
        b"\x81\xa5texts\xdd\xff\xff\xff\xff" + b"\xa0" * 8_000_000,
        b"\x81" * 8_000_000,
    ],
    ids=["64 texts", "eight million texts", "more texts than bytes", "maps"],
)
async def test_no_messagepack_holds_the_embedder(body: bytes) -> None:
    async with embedder() as url:
        status, seconds = await held(f"{url}/embed", body, "application/msgpack")
        assert status in (200, 400, 413, 422, 429), status
        assert seconds < HELD_SECONDS
