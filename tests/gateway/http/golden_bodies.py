"""Golden cases for bodies that no route accepts, and for the limits of a body."""

import gzip
import json
from collections.abc import Iterator

from tests.gateway.http.golden_case import BEARER, INGEST, JSON, KEY, LINES, SEARCH, TRAFFIC, Case, get, post, put


def bodies() -> Iterator[tuple[str, Case]]:
    """Bodies that no route accepts, for each route with a body."""
    small = {SEARCH: {"query": "wings", "collection": "books"}, INGEST: {"documents": [{"id": "n", "text": "x"}]}}
    for target, good in small.items():
        text = json.dumps(good).encode()
        for name, body, headers in (
            ("empty", b"", (JSON,)),
            ("without a content type", text, (("accept", "*/*"),)),
            ("of another type", text, (("content-type", "text/plain"),)),
            ("of a form", text, (("content-type", "application/x-www-form-urlencoded"),)),
            ("of JSON lines", text, (("content-type", "application/jsonl"),)),
            ("of an empty type", text, (("content-type", ""),)),
            ("in Latin-1", text, (("content-type", "application/json; charset=latin-1"),)),
            (
                "compressed",
                gzip.compress(text, mtime=0),
                (JSON, ("content-encoding", "gzip" if target == SEARCH else "br")),
            ),
            ("nested deeply", b"[" * 3000, (JSON,)),
            ("nested deeply in a field", text[:-1] + b', "x": ' + b"[" * 1500 + b"]" * 1500 + b"}", (JSON,)),
            ("not UTF-8", text.replace(b"x" if target == INGEST else b"wings", b"\xff"), (JSON,)),
            ("with a lone surrogate", text.replace(b"x" if target == INGEST else b"wings", b"\\ud800"), (JSON,)),
            ("in UTF-16", text.decode().encode("utf-16"), (JSON,)),
            ("cut off", text[:-1], (JSON,)),
            ("twice", text + text, (JSON,)),
            ("a list", b"[]", (JSON,)),
            ("null", b"null", (JSON,)),
            ("a number", b"1e400", (JSON,)),
            ("an empty object", b"{}", (JSON,)),
            ("with an unknown field", text[:-1] + b', "x": 1}', (JSON,)),
            ("with a long unknown field", text[:-1] + b', "' + b"k" * 500 + b'": 1}', (JSON,)),
            ("with a bad collection", json.dumps({**good, "collection": "../x"}).encode(), (JSON,)),
        ):
            yield f"{target} {name}", post(target, body, *headers)
        yield f"{target} with query parameters", post(f"{target}?x=1", b"{}")
    for name, body, code in (
        ("top_k a string", b'{"query": "x", "top_k": "5"}', ()),
        ("top_k 0", b'{"query": "x", "top_k": 0}', ()),
        ("top_k 1.0", b'{"query": "x", "top_k": 1.0}', ()),
        ("top_k over 64 bits", b'{"query": "x", "top_k": 1000000000000000000000}', ()),
        ("a mode that is none", b'{"query": "x", "mode": "fuzzy"}', ()),
        ("a part of hits that is none", b'{"query": "x", "include": ["text", "score"]}', ()),
        ("a part of hits in both lists", b'{"query": "x", "include": ["vector", "text"], "exclude": ["text"]}', ()),
        ("a consistency that is none", b'{"query": "x", "consistency": "eventual"}', ()),
        ("a diversity over 1", b'{"query": "x", "diversity": 1.5}', ()),
        ("an empty field of groups", b'{"query": "x", "group_by": ""}', ()),
        ("a part of hits that is no list", b'{"query": "x", "exclude": "text"}', ()),
        ("a filter that is none", b'{"query": "x", "filter": [1]}', ()),
        ("a filter with a wrong value", b'{"query": "x", "filter": {"year": {"$gte": null}}}', ()),
        ("a filter with a key twice", b'{"query": "x", "filter": {"year": {"$gte": 1, "$gte": 2}}}', ()),
        ("a blank query", b'{"query": " \\n"}', ()),
        ("an absent collection", b'{"query": "x", "collection": "nowhere"}', ()),
        ("a deadline that is none", b'{"query": "x"}', (("x-request-timeout-ms", "soon"),)),
        ("a deadline of 0", b'{"query": "x"}', (("x-request-timeout-ms", "0"),)),
        ("a body that GET has not", b'{"query": "x"}', (("x-http-method-override", "GET"),)),
    ):
        yield f"{SEARCH} {name}", post(SEARCH, body, JSON, *code)
    for name, document in (
        ("a text that is a list", {"text": ["x"]}),
        ("a blank text", {"text": " "}),
        ("an id with a dot segment", {"text": "x", "id": "../x"}),
        ("an id that is a fraction", {"text": "x", "id": 1.5}),
        ("metadata nested too deeply", {"text": "x", "metadata": {"a": {"b": {"c": {"d": {}}}}}}),
        ("a list of booleans in metadata", {"text": "x", "metadata": {"a": [True]}}),
        ("metadata that is null", {"text": "x", "metadata": None}),
        ("no text", {"id": "x"}),
    ):
        yield f"{INGEST} {name}", post(INGEST, {"documents": [{"text": "x"}, document]})
    one = {"documents": [{"text": "x"}]}
    yield f"{INGEST} with another on_error", post(INGEST, {**one, "on_error": "ignore"})
    yield f"{INGEST} of which all are skipped", post(INGEST, {"documents": [{"text": " "}, 7], "on_error": "skip"})
    yield f"{INGEST} that skips and is cut off", post(INGEST, b'{"on_error":"skip","documents":[{"text":"x"}')
    yield f"{INGEST} with on_error in the query", post(f"{INGEST}?on_error=skip", one)
    yield f"{INGEST} of lines with another on_error", post(f"{INGEST}?on_error=x", b'{"text": "x"}', LINES)
    yield f"{INGEST} of lines of which all are skipped", post(f"{INGEST}?on_error=skip", b'{"text": 1}\nx\n', LINES)
    yield f"{INGEST} with a collection in the query", post(f"{INGEST}?collection=books", one)
    yield f"{INGEST} of lines with a bad collection", post(f"{INGEST}?collection=../x", b'{"text": "x"}', LINES)
    yield f"{INGEST} of lines with an unknown parameter", post(f"{INGEST}?x=1", b'{"text": "x"}', LINES)
    yield f"{INGEST} of lines with a bad one", post(INGEST, b'{"text": "x"}\n{"text": 1}\n', LINES)
    yield f"{INGEST} of no lines", post(INGEST, b"\n \n", LINES)
    yield f"{INGEST} not compressed as it says", post(INGEST, one, JSON, ("content-encoding", "gzip"))
    yield f"{INGEST} with two keys", post(INGEST, one, JSON, KEY, KEY)
    yield f"{INGEST} with a key that is not valid", post(INGEST, one, JSON, ("idempotency-key", "a b"))
    yield f"{INGEST} no documents", post(INGEST, {"documents": []})


def limits() -> Iterator[tuple[str, Case]]:
    """The gateway ``small`` accepts 1,024 bytes of ingest, 4,096 bytes of search, and three documents."""
    for target, limit in ((INGEST, 1024), (SEARCH, 4096)):
        for name, size in (("over the limit", limit + 1), ("far over the limit", 10 * limit)):
            for chunked in (False, True):
                named = f"{target} {name}{' in chunks' if chunked else ''}"
                yield named, post(target, b" " * size, gateway="small", chunked=chunked)
        exact = b"{" + b" " * (limit - 2) + b"}"
        yield f"{target} at the limit", post(target, exact, gateway="small")
        yield f"{target} at the limit in chunks", post(target, exact, gateway="small", chunked=True)
    yield f"{TRAFFIC} over the limit", put(b" " * 4097, BEARER, JSON, gateway="serving")
    bomb = gzip.compress(b" " * 1025)
    yield (
        f"{INGEST} over the limit decompressed",
        post(INGEST, bomb, JSON, ("content-encoding", "gzip"), gateway="small"),
    )
    many = {"documents": [{"text": "x"}] * 4}
    yield f"{INGEST} of too many documents", post(INGEST, many, gateway="small")
    yield f"{SEARCH} too long", post(SEARCH, {"query": "x" * 31}, gateway="small")
    yield f"{SEARCH} of too many hits", post(SEARCH, {"query": "x", "top_k": 10}, gateway="small")
    yield (
        f"{INGEST} of a collection too many",
        post(INGEST, {"documents": [{"text": "x"}], "collection": "second"}, gateway="full"),
    )
    yield f"{INGEST} of too many that wait", post(INGEST, {"documents": [{"text": "x"}, {"text": "y"}]}, gateway="full")
    yield f"{SEARCH} without an embedder", post(SEARCH, {"query": "x", "mode": "dense"}, gateway="full")
    yield "health without an embedder", get("/healthz", gateway="full")
