"""A bad request gets an error that names its fault, and the next good request works."""

import gzip
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.stack import Client, Stack

COLLECTION = "good"
SEARCH = "/v1/search"
INGEST = "/v1/ingest"


@dataclass(frozen=True)
class Bad:
    """A bad request, and the expected error."""

    path: str
    body: Any
    """Bytes are sent unchanged; any other value is sent as JSON."""
    status: int
    code: str
    param: str | None
    says: str
    """Part of the message: the limit or the expectation."""
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)


def search(status: int, code: str, param: str | None, says: str, **fields: Any) -> Bad:
    return Bad(SEARCH, {"query": "a query", "collection": COLLECTION, **fields}, status, code, param, says)


def document(status: int, code: str, param: str | None, says: str, **fields: Any) -> Bad:
    good = {"id": "good", "text": "a good document"}
    documents = [good, {"text": "a document", **fields}]
    return Bad(INGEST, {"documents": documents, "collection": COLLECTION}, status, code, param, says)


def raw(body: bytes, status: int, code: str, param: str | None, says: str, path: str = SEARCH) -> Bad:
    return Bad(path, body, status, code, param, says)


WANTED_TOP_K = "from 1 to 1000"
DEEP = b"[" * 10_000 + b"]" * 10_000

CASES: dict[str, Bad] = {
    # the whole body
    "empty body": raw(b"", 400, "malformed_body", None, "empty"),
    "malformed": raw(b'{"query": "x"', 400, "malformed_body", None, "JSON"),
    "trailing garbage": raw(b'{"query": "x"} y', 400, "malformed_body", None, "JSON"),
    "not JSON": raw(b"\x00\x01\x02", 400, "malformed_body", None, "JSON"),
    "invalid UTF-8": raw(b'{"query": "\xff\xfe"}', 400, "invalid_encoding", None, "UTF-8"),
    "UTF-16": raw('{"query": "x"}'.encode("utf-16"), 400, "invalid_encoding", None, "UTF-16"),
    "an array": raw(b"[]", 422, "invalid_field", None, "object"),
    "null": raw(b"null", 422, "invalid_field", None, "object"),
    "nested 10,000 deep": raw(DEEP, 422, "invalid_field", None, "object"),
    "query nested 10,000 deep": raw(b'{"query": ' + DEEP + b"}", 422, "invalid_field", "query", "str"),
    "metadata nested 10,000 deep": raw(
        b'{"documents": [{"text": "x", "metadata": {"m": ' + DEEP + b"}}]}",
        400,
        "malformed_body",
        None,
        "nested too deeply",
        INGEST,
    ),
    "unknown field nested 10,000 deep": raw(b'{"x": ' + DEEP + b"}", 422, "unknown_field", "x", "x"),
    "body over the limit": raw(b" " * ((64 << 10) + 1), 413, "body_too_large", "body", "65536"),
    "body of an ingest over the limit": raw(
        b" " * ((16 << 20) + 1), 413, "body_too_large", "body", "16777216", INGEST
    ),
    "wrong content type": Bad(
        SEARCH, b"query=x", 415, "unsupported_media_type", "content-type", "application/json", "POST",
        {"content-type": "application/x-www-form-urlencoded"},
    ),
    "text content type": Bad(
        INGEST, b"{}", 415, "unsupported_media_type", "content-type", "application/json", "POST",
        {"content-type": "text/plain"},
    ),
    "no content type": Bad(
        SEARCH, b"{}", 415, "unsupported_media_type", "content-type", "application/json", "POST", {"content-type": ""},
    ),
    "another charset": Bad(
        INGEST, b"{}", 415, "unsupported_media_type", "content-type", "UTF-8", "POST",
        {"content-type": "application/json; charset=utf-16"},
    ),
    "another content coding": Bad(
        INGEST, b"{}", 415, "unsupported_media_type", "content-encoding", "send gzip", "POST",
        {"content-encoding": "br"},
    ),
    "no gzip": Bad(
        SEARCH, b"{}", 400, "malformed_body", "body", "cannot be decompressed as gzip", "POST",
        {"content-encoding": "gzip"},
    ),
    "two codings": Bad(
        SEARCH, gzip.compress(b"{}"), 415, "unsupported_media_type", "content-encoding", "gzip or zstd", "POST",
        {"content-encoding": "gzip, gzip"},
    ),
    "a foreign host": Bad(SEARCH, b"{}", 403, "forbidden", "host", "evil.example", "POST", {"host": "evil.example"}),
    "another site's page": Bad(
        INGEST, b"{}", 403, "forbidden", "sec-fetch-site", "another site", "POST", {"sec-fetch-site": "cross-site"},
    ),
    # search
    "no query": Bad(SEARCH, {}, 422, "missing_field", "query", "missing"),
    "query a number": search(422, "invalid_field", "query", "str", query=5),
    "query null": search(422, "invalid_field", "query", "str", query=None),
    "query empty": search(422, "invalid_field", "query", "empty", query=""),
    "query white space": search(422, "invalid_field", "query", "white space", query=" \t\n\u3000"),
    "query too long": search(422, "limit_exceeded", "query", "8192", query="x" * 8193),
    "query of 10 MB": search(413, "body_too_large", "body", "65536", query="x" * 10_000_000),
    "query with NUL": search(422, "invalid_field", "query", "NUL", query="a\0b"),
    "query with a lone surrogate": raw(b'{"query": "a\\ud800b"}', 400, "invalid_encoding", "query", "surrogate"),
    "query with a lone low surrogate": raw(b'{"query": "\\udc00"}', 400, "invalid_encoding", "query", "surrogate"),
    "unknown field": search(422, "unknown_field", "topk", "topk", topk=3),
    "top_k 0": search(422, "limit_exceeded", "top_k", WANTED_TOP_K, top_k=0),
    "top_k -1": search(422, "limit_exceeded", "top_k", WANTED_TOP_K, top_k=-1),
    "top_k 1001": search(422, "limit_exceeded", "top_k", WANTED_TOP_K, top_k=1001),
    "top_k a billion": search(422, "limit_exceeded", "top_k", WANTED_TOP_K, top_k=10**9),
    "top_k 1e9": raw(b'{"query": "x", "top_k": 1e9}', 422, "invalid_field", "top_k", "int"),
    "top_k over 64 bits": search(422, "limit_exceeded", "top_k", WANTED_TOP_K, top_k=10**30),
    "top_k of 5,000 digits": raw(
        b'{"query": "x", "top_k": ' + b"9" * 5000 + b"}", 422, "invalid_field", "top_k", "range"
    ),
    "top_k a string": search(422, "invalid_field", "top_k", "int", top_k="5"),
    "top_k true": search(422, "invalid_field", "top_k", "int", top_k=True),
    "top_k null": search(422, "invalid_field", "top_k", "int", top_k=None),
    "top_k 5.5": search(422, "invalid_field", "top_k", "int", top_k=5.5),
    "mode unknown": search(422, "invalid_field", "mode", "one of auto, hybrid, dense, lexical", mode="fuzzy"),
    "mode null": search(422, "invalid_field", "mode", "str", mode=None),
    "collection name with a slash": search(422, "invalid_field", "collection", "1 to 64", collection="a/b"),
    "collection name empty": search(422, "invalid_field", "collection", "1 to 64", collection=""),
    "collection name too long": search(422, "invalid_field", "collection", "1 to 64", collection="x" * 65),
    "collection name with a line end": search(422, "invalid_field", "collection", "1 to 64", collection="x\n"),
    "collection name that climbs": search(422, "invalid_field", "collection", "1 to 64", collection="../x"),
    "collection that is not there": search(404, "not_found", "collection", "nowhere", collection="nowhere"),
    # ingest
    "no documents": Bad(INGEST, {"collection": COLLECTION}, 422, "missing_field", "documents", "missing"),
    "documents empty": Bad(INGEST, {"documents": []}, 422, "invalid_field", "documents", "1 to 10000"),
    "documents an object": Bad(INGEST, {"documents": {}}, 422, "invalid_field", "documents", "array"),
    "a document a string": Bad(INGEST, {"documents": ["x"]}, 422, "invalid_field", "documents[0]", "object"),
    "10,001 documents": Bad(
        INGEST, {"documents": [{"text": "x"}] * 10_001}, 422, "limit_exceeded", "documents", "10000"
    ),
    "a million documents": raw(
        b'{"documents":[' + b",".join([b'{"text":"x"}'] * 1_000_000) + b"]}",
        422, "limit_exceeded", "documents", "10000", INGEST,
    ),
    "ingest collection bad": Bad(
        INGEST, {"documents": [{"text": "x"}], "collection": " "}, 422, "invalid_field", "collection", "1 to 64"
    ),
    "text missing": Bad(INGEST, {"documents": [{"id": "a"}]}, 422, "missing_field", "documents[0].text", "missing"),
    "text a list": document(422, "invalid_field", "documents[1].text", "str", text=["x"]),
    "text empty": document(422, "invalid_field", "documents[1].text", "empty", text=""),
    "text white space": document(422, "invalid_field", "documents[1].text", "white space", text="\n \n"),
    "text of 10 MB": document(422, "limit_exceeded", "documents[1]", "100000", text="word " * 2_000_000),
    "text with NUL": document(422, "invalid_field", "documents[1].text", "NUL", text="\0"),
    "text with a lone surrogate": raw(
        b'{"documents": [{"text": "fine"}, {"text": "\\udfff"}]}',
        400, "invalid_encoding", "documents[1].text", "surrogate", INGEST,
    ),
    "document field unknown": document(422, "unknown_field", "documents[1].txt", "txt", txt="x"),
    "id empty": document(422, "invalid_field", "documents[1].id", "1 to 256", id=""),
    "id too long": document(422, "limit_exceeded", "documents[1].id", "1 to 256", id="x" * 257),
    "id a fraction": document(422, "invalid_field", "documents[1].id", "integer", id=5.5),
    "id with a line end": document(422, "invalid_field", "documents[1].id", "control", id="a\nb"),
    "id with a dot segment": document(422, "invalid_field", "documents[1].id", "'..'", id="../../victim"),
    "id with NUL": document(422, "invalid_field", "documents[1].id", "control", id="a\0b"),
    "metadata a list": document(422, "invalid_field", "documents[1].metadata", "object", metadata=[]),
    "metadata null": document(422, "invalid_field", "documents[1].metadata", "object", metadata=None),
    "metadata nested": document(
        422, "limit_exceeded", "documents[1].metadata.m.n.o.p", "4", metadata={"m": {"n": {"o": {"p": {}}}}}
    ),
    "metadata list of booleans": document(
        422, "invalid_field", "documents[1].metadata.m[0]", "str", metadata={"m": [True]}
    ),
    "metadata too large": document(
        422, "limit_exceeded", "documents[1].metadata", "16384", metadata={"m": "x" * 16_384}
    ),
    "metadata with NUL": document(422, "invalid_field", "documents[1].metadata", "NUL", metadata={"m": "\0"}),
    "metadata key with NUL": document(422, "invalid_field", "documents[1].metadata", "NUL", metadata={"\0": 1}),
    "metadata NaN": raw(
        b'{"documents": [{"text": "x", "metadata": {"m": NaN}}]}', 400, "malformed_body", None, "JSON", INGEST
    ),
    "metadata Infinity": raw(
        b'{"documents": [{"text": "x", "metadata": {"m": -Infinity}}]}', 400, "malformed_body", None, "JSON", INGEST
    ),
    "metadata 1e999": raw(
        b'{"documents": [{"text": "x", "metadata": {"m": 1e999}}]}',
        422, "invalid_field", "documents[0].metadata.m", "range", INGEST,
    ),
    "metadata key a lone surrogate": raw(
        b'{"documents": [{"text": "x", "metadata": {"\\ud801": 1}}]}',
        400, "invalid_encoding", "documents[0].metadata", "surrogate", INGEST,
    ),
    # paths and headers
    "unknown path": Bad("/v2/search", {}, 404, "not_found", "path", "/v2/search"),
    "unknown path at the root": Bad("/nothing", None, 404, "not_found", "path", "/nothing", "GET"),
    "wrong method": Bad(SEARCH, None, 405, "method_not_allowed", "method", "GET", "GET"),
    "PUT": Bad(INGEST, {}, 405, "method_not_allowed", "method", "PUT", "PUT"),
    "unknown job": Bad(f"/v1/jobs/job_{'0' * 32}", None, 404, "not_found", "job_id", "no job", "GET"),
    "no job id": Bad("/v1/jobs/'%20OR%201=1", None, 404, "not_found", "job_id", "job_", "GET"),
    "job id too long": Bad(f"/v1/jobs/{'x' * 5000}", None, 404, "not_found", "job_id", "job_", "GET"),
    "document id with a line end": Bad(
        f"/v1/collections/{COLLECTION}/documents/a%0Ab", None, 404, "not_found", "path", "nothing at", "GET"
    ),
    "document id too long": Bad(
        f"/v1/collections/{COLLECTION}/documents/{'x' * 257}", None, 422, "limit_exceeded", "id", "1 to 256", "DELETE"
    ),
    "document id with a dot segment in a path": Bad(
        f"/v1/collections/{COLLECTION}/documents/..%2F..%2Fvictim", None, 422, "invalid_field", "id", "?id=", "DELETE"
    ),
    "no document id": Bad(
        f"/v1/collections/{COLLECTION}/documents", None, 422, "missing_field", "id", "query parameter", "DELETE"
    ),
    "two document ids": Bad(
        f"/v1/collections/{COLLECTION}/documents?id=a&id=b", None, 422, "invalid_field", "id", "more than once", "GET"
    ),
    "unknown query parameter": Bad(
        f"/v1/collections/{COLLECTION}/documents?ids=a", None, 422, "unknown_field", "ids", "ids", "GET"
    ),
    "collection bad in a path": Bad(
        "/v1/collections/-x", None, 422, "invalid_field", "collection", "1 to 64", "DELETE"
    ),
    **{
        f"timeout header {value!r}": Bad(
            SEARCH, {"query": "x"}, 422, "invalid_field", "x-request-timeout-ms", "1 to 600000", "POST",
            {"x-request-timeout-ms": value},
        )
        for value in ("0", "-5", "soon", "1.5", "", "600001", "9" * 5000, "1 000", "1e3", "0x10")
    },
}  # fmt: skip

_searches = itertools.count()


@pytest.fixture(scope="module")
def good(stack: Stack) -> Iterator[Client]:
    stack.client.ingest_and_wait([{"id": "good", "text": "a good document"}], COLLECTION)
    yield stack.client
    # No bad request stored anything.
    assert stack.client.found("a good document", 100, COLLECTION) == ["good"]


@pytest.mark.parametrize("bad", CASES.values(), ids=CASES.keys())
def test_a_bad_request_is_refused_and_a_good_one_served(good: Client, bad: Bad) -> None:
    content = bad.body if isinstance(bad.body, bytes) or bad.body is None else json.dumps(bad.body).encode()
    headers = {"content-type": "application/json", **bad.headers}
    reply = good.http.request(bad.method, bad.path, content=content, headers=headers)
    assert reply.status_code == bad.status, reply.text[:300]
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "code", "param"}
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", bad.code, bad.param), error
    assert bad.says in error["message"]
    if bad.param is not None and bad.param not in ("path", "method", "body"):
        assert bad.param in error["message"]
    assert len(error["message"]) < 1000
    assert good.found(f"good {next(_searches)}", 1, COLLECTION) == ["good"]


def test_a_wrong_method_gets_the_allowed_ones(good: Client) -> None:
    assert good.http.get(SEARCH).headers["allow"] == "POST"


def test_a_chunked_body_over_the_limit_is_refused(good: Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * (1 << 20)

    reply = good.http.post(SEARCH, content=chunks(), headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
    assert good.found("after a large body", 1, COLLECTION) == ["good"]


def test_a_refused_ingest_stores_none_of_its_documents(good: Client) -> None:
    documents = [{"id": "first", "text": "a sound document"}, {"id": "second", "text": ""}]
    reply = good.http.post(INGEST, json={"documents": documents, "collection": COLLECTION})
    assert reply.status_code == 422
    assert good.http.get(f"/v1/collections/{COLLECTION}/documents/first").status_code == 404
