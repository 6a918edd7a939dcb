"""The worst bodies for the routes that search, rerank, and read or delete many documents, and for the tools of MCP."""

import json
from collections.abc import Callable

from tests.integration.worst_bodies.parts import LIMIT, SEARCH_LIMIT, filled

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
