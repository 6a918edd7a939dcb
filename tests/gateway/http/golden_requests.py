"""Requests for every route, method and error, for ``test_golden_replies``; ``golden/replies.json`` has the replies.

A case's name is its key in that file. The gateway of each case is one of ``golden_gateways.GATEWAYS``.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from tests.support.texts import distinct_texts

TOKEN = "a-token-for-operators-only"
JOB = "{job}"
"""Placeholder in a path for the id of the finished job that stored ``DOCUMENTS``."""

SEARCH = "/v1/search"
SIMILAR = "/v1/search/similar"
INGEST = "/v1/ingest"
FILES = "/v1/ingest/files"
JOBS = "/v1/jobs"
TRAFFIC = "/v1/admin/traffic"
IN_BOOKS = "/v1/collections/books/documents"
REEMBED = "/v1/collections/books/reembed"
EMBEDDINGS = "/v1/embeddings"
AZURE = "/openai/deployments/any/embeddings"
MODELS = "/v1/models"
OLLAMA = "/api/embed"
PROMPT = "/api/embeddings"
TEI = "/embed"
JSON = ("content-type", "application/json")
LINES = ("content-type", "application/x-ndjson")
KEY = ("idempotency-key", "nightly-2026-11-21")
BEARER = ("authorization", f"Bearer {TOKEN}")

# Ids that a router could change: repeated slashes, slashes at either end, percent signs, dots, reserved characters.
IDS = (
    "a", "a/b", "a//b", "a/", "/a", "//", "a%2Fb", "a%b", "a b", "a+b", "é", "日本", "a.b", "...", ".a", "a?b", "a#b",
    "a;b", "{a}", "documents", "a:path", "a\\b", "x" * 256,
)  # fmt: skip
DOCUMENTS = [
    {"id": doc_id, "text": text, "metadata": {"n": number, "big": 12345678901234567890.125, "tags": ["x", "y"]}}
    for number, (doc_id, text) in enumerate(zip(IDS, distinct_texts(len(IDS), seed=5), strict=True))
]


@dataclass(frozen=True)
class Case:
    """One request, sent as raw bytes to one of the gateways."""

    gateway: str
    method: str
    target: str
    """The request's target, as its first line has it."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    chunked: bool = False
    host: str = "localhost"

    def head(self, job_id: str) -> bytes:
        """Return the request's head, with ``job_id`` in place of ``JOB``."""
        lines = [
            f"{self.method} {self.target.replace(JOB, job_id)} HTTP/1.1",
            f"host: {self.host}",
            "connection: close",
        ]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        elif self.body is not None:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def content(self) -> bytes:
        """Return the body as sent."""
        body = self.body or b""
        if not self.chunked:
            return body
        pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def quoted(doc_id: str, safe: str = "/") -> str:
    return quote(doc_id, safe=safe)


def post(target: str, body: object, *headers: tuple[str, str], gateway: str = "serving", **options: object) -> Case:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Case(gateway, "POST", target, headers or (JSON,), content, **options)  # type: ignore[arg-type]


def get(target: str, *headers: tuple[str, str], gateway: str = "serving", method: str = "GET") -> Case:
    return Case(gateway, method, target, headers)


def put(body: object, *headers: tuple[str, str], gateway: str = "serving") -> Case:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Case(gateway, "PUT", TRAFFIC, headers, content)


def _patch(target: str, body: object) -> Case:
    return Case("serving", "PATCH", target, (JSON,), json.dumps(body).encode())


FIXED = (
    SEARCH, INGEST, FILES, JOBS, "/v1/collections", TRAFFIC, "/healthz", "/livez", "/readyz", "/metrics",
    EMBEDDINGS, MODELS, OLLAMA, PROMPT, "/api/tags", "/api/version", TEI, "/info", "/health",
    "/openapi.json", "/process",
)  # fmt: skip
TEMPLATES = (
    f"/v1/jobs/{JOB}",
    f"/v1/jobs/{JOB}/documents",
    f"/v1/jobs/{JOB}/cancel",
    f"/v1/jobs/{JOB}/retry",
    f"/v1/jobs/{JOB}/events",
    "/v1/collections/books",
    IN_BOOKS,
    f"{IN_BOOKS}/a",
    "/v1/collections/books/sources/shelf",
    REEMBED,
    f"{REEMBED}/switch",
    f"{REEMBED}/rollback",
    f"{REEMBED}/overlap",
    "/v1/collections/books/web-search",
    AZURE,
    f"{MODELS}/a-model",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
# Separate cases below cover the effects of these.
_DONE = {
    ("DELETE", "/v1/collections/books"), ("DELETE", f"{IN_BOOKS}/a"), ("PUT", TRAFFIC), ("POST", SEARCH), ("POST",
    INGEST), ("POST", REEMBED),
}  # fmt: skip


def _every_method() -> Iterator[tuple[str, Case]]:
    for path in (*FIXED, *TEMPLATES, "/nothing", "/"):
        for method in METHODS:
            if (method, path) not in _DONE:
                yield f"{method} {path}", Case("serving", method, path, (BEARER,) if path == TRAFFIC else ())


def _paths() -> Iterator[tuple[str, Case]]:
    for path in (*FIXED, *TEMPLATES):
        yield f"a slash after {path}", get(f"{path}/", BEARER)
        yield f"a slash before {path}", get(f"/{path}", BEARER)
    for path in (
        "/V1/jobs/x", "/v1", "/v1/", "/v1/jobs", "/v1/jobs/", "/v1//jobs/x", "/v1/jobs/x/y", "/v1/jobs/a%2Fb",
        "/v1/jobs/%2e%2e", "/v1/jobs/..", "/v1/jobs/.", "/v1/./livez", "/v1/../livez", "/./livez", "/livez/.",
        "/%6Civez",
        "/livez?", "/livez?x=1&x=2", "/livez#x", "/healthz%00", "/%ff%fe", "/livez%20", "/v1/jobs/%ff", "/v1/jobs/%00",
        "/v1/jobs/%C3%A9", "/docs/x", "/schema", "/openapi.yml", "/v1/search/x", "/v1/admin", "/v1/collections/books/x",
        "/v1/collections//documents", "/v1/collections//documents/a", "/v1/collections/a%2Fb/documents/a",
        "/" + "x" * 5000, "/v1/jobs/" + "x" * 5000, f"{IN_BOOKS}/" + "x" * 5000, "*", "http://localhost/livez",
    ):  # fmt: skip
        yield f"path {path[:60]}", get(path)


def _documents() -> Iterator[tuple[str, Case]]:
    for doc_id in IDS:
        yield f"document {doc_id[:20]} in the path", get(f"{IN_BOOKS}/{quoted(doc_id)}")
        yield f"document {doc_id[:20]} quoted in the path", get(f"{IN_BOOKS}/{quoted(doc_id, safe='')}")
        yield f"document {doc_id[:20]} in the query", get(f"{IN_BOOKS}?id={quoted(doc_id, safe='')}")
    for target in (
        "/", "//a", "/a/", "/.", "/..", "/a/..", "/a/../b", "/./a", "/%2e%2e", "/%2E", "/..%2F..%2Fvictim",
        "/%252e%252e",
        "/a%5C..%5Cb", "/a%0Ab", "/a%0A", "/%00", "/" + "x" * 257, "/%ff", "/absent", "?", "?id", "?id=", "?id=.",
        "?id=..",
        "?id=a&id=b", "?id=a&id=a", "?ids=a", "?id=a&x=1", "?x=1&id=a", "?id=%ff", "?id=%zz", "?id=a+b", "?id=a%2Bb",
        "?id=a;b", "?id=%00", "?id=a%0Ab", "?id=" + "x" * 257, "?id=absent", "?" + "&".join(["id=1"] * 21),
        "?id=%C3%A9",
        "?&id=a&", "?=a", "?ID=a", "?id[]=a", "?id=\u00e9", "?" + "k" * 300 + "=1", "/a?id=b", "/a?x=1",
    ):  # fmt: skip
        yield f"document {target[:40]}", get(IN_BOOKS + target)
        if target in ("/..", "?", "?id=a&x=1", "/%00"):
            yield f"deleted document {target}", get(IN_BOOKS + target, method="DELETE")
    for collection in ("nowhere", "-x", "a%2Fb", "a%20b", "x" * 65, "%C3%A9", ".", "b%0Aooks"):
        yield f"a document of {collection[:20]}", get(f"/v1/collections/{collection}/documents/a")
        yield f"a document by query of {collection[:20]}", get(f"/v1/collections/{collection}/documents?id=a")
        yield f"deleted collection {collection[:20]}", get(f"/v1/collections/{collection}", method="DELETE")


def _bodies() -> Iterator[tuple[str, Case]]:
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


def _similar() -> Iterator[tuple[str, Case]]:
    for name, asked in (
        ("a document", {"document_id": "a", "top_k": 2, "include": ["vector"], "exclude": ["passage"]}),
        ("a document by a filter", {"document_id": "a", "top_k": 2, "filter": {"n": {"$gt": 9}}, "offset": 1}),
        ("an absent document", {"document_id": "absent"}),
        ("an absent collection", {"document_id": "a", "collection": "nowhere"}),
        ("a vector", {"vector": [1, 0, 0, 0, 0, 0, 0, 0.5], "top_k": 1}),
        ("a vector of another dimension", {"vector": [1, 2, 3]}),
        ("a vector of zeros", {"vector": [0] * 8}),
        ("an empty vector", {"vector": []}),
        ("a vector with a text", {"vector": [1, 2, 3, 4, 5, 6, 7, "8"]}),
        ("both", {"document_id": "a", "vector": [1]}),
        ("nothing", {}),
        ("a query", {"query": "a"}),
        ("too many", {"document_id": "a", "top_k": 1001}),
    ):
        yield f"documents like {name}", post(SIMILAR, {"collection": "books", **asked})
    yield "documents like one, a number", post(SIMILAR, {"document_id": 7, "collection": "books"})
    yield "documents like one, a boolean", post(SIMILAR, {"document_id": True, "collection": "books"})
    for fields in (
        {"diversity": 0.5}, {"diversity": 1.5}, {"group_by": "n"}, {"group_by": ""}, {"explain": 1},
        {"highlight": True},
    ):  # fmt: skip
        like = {"document_id": "a", "collection": "books", "top_k": 2, "exclude": ["passage"], **fields}
        yield f"documents like one with {json.dumps(fields)}", post(SIMILAR, like)
    yield "documents like a vector that is not finite", post(SIMILAR, b'{"vector": [1e999]}')
    yield "documents like a vector with NaN", post(SIMILAR, b'{"vector": [NaN]}')


def _jobs() -> Iterator[tuple[str, Case]]:
    """The gateway ``serving`` has one job when these come."""
    for query in (
        "status=completed&collection=books&limit=1", "status=running", "status=done", "collection=nowhere",
        "collection=../x", "limit=0", "limit=1001", "limit=x", "limit=", "cursor=x", "cursor=MHgxIGpvYg==",
        "cursor=MHgxLjAgam9iXzAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm", "cursor=%ff", "x=1", "limit=1&limit=2",
    ):  # fmt: skip
        yield f"{JOBS}?{query}", get(f"{JOBS}?{query}")
    for query in ("wait_seconds=60", "wait_seconds=0", "wait_seconds=61", "wait_seconds=1.5", "wait_seconds=-1", "x=1"):
        yield f"{JOBS}/{JOB}?{query}", get(f"{JOBS}/{JOB}?{query}")
    for query in (
        "limit=1000", "status=embedded", "status=failed", "status=running", "limit=0", "limit=1001", "limit=x",
        "cursor=x", "cursor=MSB4", "cursor=%ff", "cursor=MSBqb2JfMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "x=1", "status=&limit=1",
    ):  # fmt: skip
        yield f"{JOBS}/{JOB}/documents?{query}", get(f"{JOBS}/{JOB}/documents?{query}")
    for job_id in ("x", "job_0123456789abcdef0123456789abcdef"):
        yield f"documents of {job_id}", get(f"{JOBS}/{job_id}/documents")
        yield f"cancel {job_id}", get(f"{JOBS}/{job_id}/cancel", method="POST")
        yield f"retry {job_id}", get(f"{JOBS}/{job_id}/retry", method="POST")
        yield f"events of {job_id}", get(f"{JOBS}/{job_id}/events")
    yield "events with a parameter", get(f"{JOBS}/{JOB}/events?since=1")


def _reembedding() -> Iterator[tuple[str, Case]]:
    """The gateway ``serving`` has no canary, and no collection is re-embedded."""
    for query in ("queries=1", "queries=100", "queries=0", "queries=101", "queries=x", "queries=", "x=1"):
        yield f"{REEMBED}/overlap?{query}", get(f"{REEMBED}/overlap?{query}")
    for name in ("nowhere", "a%20b", "x" * 65):
        in_other = REEMBED.replace("books", name)
        yield f"reembed of {name[:20]}", get(in_other)
        yield f"reembed started of {name[:20]}", get(in_other, method="POST")
        yield f"reembed dropped of {name[:20]}", get(in_other, method="DELETE")
        yield f"switch of {name[:20]}", get(f"{in_other}/switch", method="POST")
        yield f"roll-back of {name[:20]}", get(f"{in_other}/rollback", method="POST")
        yield f"overlap of {name[:20]}", get(f"{in_other}/overlap")


def _many_documents() -> Iterator[tuple[str, Case]]:
    """Requests for many documents; those that succeed leave the documents of the other cases alone."""
    for query in (
        "limit=2", "limit=2&filter=%7B%22n%22%3A%7B%22%24gte%22%3A5%7D%7D", "limit=1&cursor=YQ==", "cursor=~",
        "limit=0", "limit=1001", "limit=x", "limit=", "filter=", "filter=%5B%5D",
        "filter=%7B%22n%22%3A%7B%22%24gt%22%3Atrue%7D%7D", "filter=%7B", "id=a&limit=1", "filter=%7B%22n%22%3A-1%7D",
        "cursor=_w==",
    ):  # fmt: skip
        yield f"a page of documents {query}", get(f"{IN_BOOKS}?{query}")
    yield "a page of an absent collection", get("/v1/collections/nowhere/documents")
    for name, body in (
        ("ids", {"ids": ["a b", "absent", "a b", "é"]}),
        ("no ids", {"ids": []}),
        ("ids that are numbers", {"ids": [7, "7", -1]}),
        ("ids that are fractions", {"ids": [1.5]}),
        ("too many ids", {"ids": ["a"] * 1001}),
        ("an invalid id", {"ids": ["a", ""]}),
        ("ids that are none", {"ids": "a"}),
        ("nothing", {}),
        ("another field", {"ids": ["a"], "x": 1}),
    ):
        yield f"documents by {name}", post(f"{IN_BOOKS}/get", body)
        if name != "ids":
            yield f"documents deleted by {name}", post(f"{IN_BOOKS}/delete", body)
    for name, patch in (
        ("without metadata", {}),
        ("of null", {"metadata": None}),
        ("of another field", {"metadata": {}, "text": "x"}),
        ("of a list of booleans", {"metadata": {"a": [True]}}),
        ("nested too deeply", {"metadata": {"a": {"b": {"c": {"d": {}}}}}}),
        ("that is too large", {"metadata": {"a": "x" * 16_384}}),
        ("with a NUL", {"metadata": {"a": "\0"}}),
        ("that changes nothing", {"metadata": {"absent": None}}),
    ):
        yield f"a patch {name}", _patch(f"{IN_BOOKS}/a", patch)
    for target in (f"{IN_BOOKS}/absent", "/v1/collections/nowhere/documents/a", f"{IN_BOOKS}/..%2Fa"):
        yield f"a patch of {target}", _patch(target, {"metadata": {}})
    yield "a patch that is no JSON", Case("serving", "PATCH", f"{IN_BOOKS}/a", (("content-type", "text/plain"),), b"{}")
    yield "documents of an absent collection", post("/v1/collections/nowhere/documents/get", {"ids": ["a"]})
    in_facets = "/v1/collections/books/facets"
    for name, asked in (
        ("two fields", {"fields": ["tags", "n", "big", "absent"], "limit": 2}),
        ("a filter", {"fields": ["n"], "filter": {"n": {"$lt": 3}}}),
        ("no fields", {"fields": []}),
        ("too many fields", {"fields": ["a"] * 21}),
        ("a long field", {"fields": ["a", "x" * 513]}),
        ("too many values", {"fields": ["a"], "limit": 1001}),
        ("a filter that is none", {"fields": ["a"], "filter": 1}),
        ("nothing", {}),
    ):
        yield f"facets of {name}", post(in_facets, asked)
    yield "facets of an absent collection", post("/v1/collections/nowhere/facets", {"fields": ["a"]})
    for name, filtered in (
        ("ids and a filter", {"ids": ["a"], "filter": {"n": 1}}),
        ("nulls", {"ids": None, "filter": None}),
        ("a filter that is none", {"filter": []}),
        ("a filter with an unknown operator", {"filter": {"n": {"$near": 1}}}),
        ("a filter with a wrong value", {"filter": {"$or": [{"n": {"$in": 5}}]}}),
        ("a filter that nothing matches", {"filter": {"n": -1}}),
    ):
        yield f"documents deleted by {name}", post(f"{IN_BOOKS}/delete", filtered)
    yield "documents deleted in an absent collection", post("/v1/collections/nowhere/documents/delete", {"filter": {}})


def _limits() -> Iterator[tuple[str, Case]]:
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


def _operators() -> Iterator[tuple[str, Case]]:
    for name, headers in (
        ("no token", ()),
        ("an empty token", (("authorization", ""),)),
        ("another token", (("authorization", "Bearer wrong"),)),
        ("another scheme", (("authorization", f"Basic {TOKEN}"),)),
        ("bytes for a token", (("authorization", "Bearer \u00ff"),)),
    ):
        yield f"{TRAFFIC} with {name}", get(TRAFFIC, *headers)
        yield f"change of {TRAFFIC} with {name}", put({"canary_weight": 9}, *headers, JSON)
        yield f"bad change of {TRAFFIC} with {name}", put(b"{", *headers, JSON)
        yield f"DELETE {TRAFFIC} with {name}", get(TRAFFIC, *headers, method="DELETE")
    yield f"{TRAFFIC} with a small bearer", get(TRAFFIC, ("authorization", f"bearer {TOKEN}"))
    for name, body in (
        ("a share", {"canary_weight": 7, "shadow_percent": 3}),
        ("a share over 100", {"canary_weight": 101}),
        ("a share that is none", {"canary_weight": "5"}),
        ("no share", {}),
        ("an unknown field", {"canary_weight": 5, "x": 1}),
        ("nothing", b""),
        ("no JSON", b"{"),
        ("a list", b"[]"),
    ):
        yield f"change of {TRAFFIC} to {name}", put(body, BEARER, JSON)
    yield f"change of {TRAFFIC} without a type", put({"canary_weight": 5}, BEARER)
    for method in ("GET", "PUT", "HEAD", "POST"):
        yield f"{method} {TRAFFIC} that is off", Case("off", method, TRAFFIC, (BEARER, JSON), b"{}")


def _states() -> Iterator[tuple[str, Case]]:
    """The replies of a gateway that starts, stops or has a broken store."""
    for gateway in ("starting", "draining"):
        for path in (
            "/healthz",
            "/livez",
            "/readyz",
            "/metrics",
            "/v1/collections",
            f"{IN_BOOKS}/a",
            f"/v1/jobs/{JOB}",
        ):
            yield f"{path} while {gateway}", get(path, gateway=gateway)
        yield f"HEAD /readyz while {gateway}", get("/readyz", gateway=gateway, method="HEAD")
    for path in ("/healthz", "/livez", "/readyz", "/metrics", "/v1/collections"):
        yield f"{path} after a failed start", get(path, gateway="failed")
    for target in (SEARCH, INGEST):
        yield f"{target} while starting", post(target, b'{"query": "x"}', gateway="starting")
        yield f"{target} without JSON while starting", post(target, b"{", gateway="starting")
        yield f"{target} without a type while starting", post(target, b"{}", ("accept", "*/*"), gateway="starting")
    for kind in ("corrupt", "unavailable", "late", "overloaded", "unexpected"):
        yield f"a document of a store that is {kind}", get(f"{IN_BOOKS}/{kind}", gateway="failing")
        yield (
            f"HEAD of a document of a store that is {kind}",
            get(f"{IN_BOOKS}/{kind}", gateway="failing", method="HEAD"),
        )


def _origins() -> Iterator[tuple[str, Case]]:
    cross = ("sec-fetch-site", "cross-site")
    yield "another site's search", post(SEARCH, {"query": "x"}, JSON, cross)
    yield "another site's GET", get("/livez", cross)
    yield "another site's DELETE", get(f"{IN_BOOKS}/a", cross, method="DELETE")
    yield "another host", Case("serving", "GET", "/livez", host="evil.example")
    yield "another host's unknown path", Case("serving", "GET", "/nothing", host="evil.example")
    for host in ("evil.example", "my_service:8000", "a/b", 'a"b', "<a>", "", "[::1]:80", "a b", "\u00e9"):
        yield f"host {host!a} of any", Case("anywhere", "GET", "/livez", host=host)


def _good() -> Iterator[tuple[str, Case]]:
    """Requests that succeed; those that change something come last, in this order."""
    found = {"query": DOCUMENTS[3]["text"], "collection": "books", "top_k": 2}
    yield "a search", post(SEARCH, found)
    yield "a filtered search", post(SEARCH, {**found, "filter": {"n": {"$in": [3, 5.0]}}})
    yield "a filtered search by words", post(SEARCH, {**found, "mode": "lexical", "filter": {"n": {"$ne": 3}}})
    yield (
        "a filtered search by vectors",
        post(SEARCH, {**found, "mode": "dense", "filter": {"tags": {"$contains": "y"}}}),
    )
    yield "a filtered search without hits", post(SEARCH, {**found, "filter": {"n": {"$lt": 0}}})
    yield "a search by words", post(SEARCH, {**found, "mode": "lexical"})
    yield "a search that highlights", post(SEARCH, {**found, "mode": "lexical", "highlight": True})
    yield "a search of exclusions", post(SEARCH, {**found, "query": "-cat", "highlight": True})
    yield "a search in UTF-8 with a mark", post(SEARCH, b"\xef\xbb\xbf" + json.dumps(found).encode())
    yield "a search in chunks", post(SEARCH, found, chunked=True)
    yield "a search with a charset", post(SEARCH, found, ("content-type", "Application/JSON ; Charset=UTF-8"))
    yield "a search not compressed", post(SEARCH, found, JSON, ("content-encoding", "identity"))
    yield "a search with a deadline", post(SEARCH, found, JSON, ("x-request-timeout-ms", "60000"))
    yield "a search with parameters", post(f"{SEARCH}?x=1&x=2", found)
    yield "a search that asks for something else", post(SEARCH, found, JSON, ("accept", "text/html"))
    yield "an ingest", post(INGEST, {"documents": [{"id": "new", "text": "new"}], "collection": "others"})
    yield (
        "an ingest with a mark",
        post(INGEST, b'\xef\xbb\xbf{"documents":[{"id":"m","text":"m"}],"collection":"others"}'),
    )
    yield (
        "an ingest in chunks",
        post(INGEST, {"documents": [{"id": "c", "text": "c"}], "collection": "others"}, chunked=True),
    )
    yield (
        "a large ingest",
        post(
            INGEST, {"documents": [{"id": f"l{n}", "text": "large " * 60} for n in range(200)], "collection": "others"}
        ),
    )
    lines = b'{"id": 1, "text": "one"}\n\n{"id": "two", "text": "two"}'
    zipped = ("content-encoding", "gzip")
    yield "an ingest of JSON lines", post(f"{INGEST}?collection=others", lines, LINES)
    yield "an ingest of compressed lines", post(f"{INGEST}?collection=others", gzip.compress(lines), LINES, zipped)
    yield "its document with a number for an id", get("/v1/collections/others/documents?id=1")
    once = {"documents": [{"id": "o", "text": "once"}, {"id": "p", "text": "once more"}], "collection": "others"}
    yield "an ingest with a key", post(INGEST, once, JSON, KEY)
    yield "an ingest with a key again", post(INGEST, once, JSON, KEY)
    yield "another ingest with that key", post(INGEST, {"documents": [{"text": "x"}]}, JSON, KEY)
    yield "a document deleted", get(f"{IN_BOOKS}/a//b", method="DELETE")
    yield "a document deleted again", get(f"{IN_BOOKS}/a//b", method="DELETE")
    yield "another document left alone", get(f"{IN_BOOKS}/a/b")
    yield "a document deleted by query", get(f"{IN_BOOKS}?id=a%2F", method="DELETE")
    yield "documents deleted by ids", post(f"{IN_BOOKS}/delete", {"ids": ["...", "absent", "..."]})
    yield "documents deleted by a filter", post(f"{IN_BOOKS}/delete", {"filter": {"n": {"$gte": 21}}})
    yield "documents after the deletions", get(f"{IN_BOOKS}?limit=4")
    yield "a collection deleted", get("/v1/collections/others", method="DELETE")
    yield "a collection deleted again", get("/v1/collections/others", method="DELETE")


def _settings() -> Iterator[tuple[str, Case]]:
    def put_settings(settings: object, name: str = "settings") -> Case:
        body = settings if isinstance(settings, bytes) else json.dumps(settings).encode()
        return Case("serving", "PUT", f"/v1/collections/{name}", (JSON,), body)

    yield "a collection made", put_settings({"chunking": {"max_tokens": 128, "overlap_tokens": 0}})
    yield "its settings", get("/v1/collections/settings")
    yield "no setting", put_settings({})
    yield "whole texts", put_settings({"chunking": None})
    yield "a language", put_settings({"language": "german"})
    yield "no language", put_settings({"language": "none"})
    yield "an unknown language", put_settings({"language": "klingon"})
    yield "a language of a bad type", put_settings({"language": None})
    yield "settings left as they are", put_settings({"chunking": {}}, "books")
    yield "other settings with documents", put_settings({"chunking": None}, "books")
    yield "settings of a bad name", put_settings({}, "-")
    yield "a setting of a bad type", put_settings({"chunking": True})
    yield "an unknown setting", put_settings({"chunk": {}})
    yield "an unknown setting of passages", put_settings({"chunking": {"tokens": 3}})
    yield "passages too short", put_settings({"chunking": {"max_tokens": 31}})
    yield "passages too long", put_settings({"chunking": {"max_tokens": 65537}})
    yield "too much overlap", put_settings({"chunking": {"max_tokens": 100, "overlap_tokens": 51}})
    yield "settings in a list", put_settings([])
    yield "settings that are no JSON", put_settings(b"{")
    yield "a collection with settings deleted", get("/v1/collections/settings", method="DELETE")
    yield "an absent collection", get("/v1/collections/settings")


def _sources() -> Iterator[tuple[str, Case]]:
    def put_source(body: object, target: str = "/v1/collections/books/sources/shelf") -> Case:
        return Case("serving", "PUT", target, (JSON,), body if isinstance(body, bytes) else json.dumps(body).encode())

    two = {"documents": [{"id": "mat", "hash": "v1"}, {"id": 7, "hash": "v1"}]}
    yield "a source of nothing yet", put_source(two)
    shelf = [{"id": doc_id, "text": f"of {doc_id}", "source": "shelf", "hash": "v1"} for doc_id in ("mat", "tea", 8)]
    yield "an ingest of a source", post(INGEST, {"documents": shelf, "collection": "sourced"})
    of_shelf = "/v1/collections/sourced/sources/shelf"
    now = {"documents": [{"id": "mat", "hash": "v1"}, {"id": "tea", "hash": "v2"}, {"id": "new", "hash": "v1"}]}
    yield "a source with one document less", put_source(now, of_shelf)
    yield "a source again", put_source(now, of_shelf)
    yield "another source", put_source(now, "/v1/collections/sourced/sources/other")
    yield "an empty source", put_source({"documents": []}, of_shelf)
    yield "a source of an absent collection", put_source(two, "/v1/collections/nowhere/sources/shelf")
    yield "a source of a bad name", put_source(two, "/v1/collections/books/sources/-")
    yield "a source with a slash", put_source(two, "/v1/collections/books/sources/a/b")
    yield "a source of a bad collection", put_source(two, "/v1/collections/-/sources/shelf")
    for name, body in (
        ("with an id twice", {"documents": [{"id": 1, "hash": "a"}, {"id": "1", "hash": "b"}]}),
        ("without a hash", {"documents": [{"id": "a"}]}),
        ("with a bad hash", {"documents": [{"id": "a", "hash": "a b"}]}),
        ("with an empty id", {"documents": [{"id": "", "hash": "a"}]}),
        ("of too many", {"documents": [{"id": n, "hash": "a"} for n in range(10_001)]}),
        ("with another field", {"documents": [], "x": 1}),
        ("without documents", {}),
        ("without JSON", b"{"),
    ):
        yield f"a source {name}", put_source(body)
    for name, field in (
        ("source", {"source": "-"}),
        ("hash", {"source": "s", "hash": ""}),
        ("hash alone", {"hash": "1"}),
    ):
        yield f"an ingest with a bad {name}", post(INGEST, {"documents": [{"text": "x", **field}]})
    yield "a collection with a source deleted", get("/v1/collections/sourced", method="DELETE")


def _embeddings() -> Iterator[tuple[str, Case]]:
    for name, body in (
        ("a text", {"input": "a text", "model": "any", "user": "someone", "unknown": {}}),
        ("two texts", {"input": ["one", "two"], "encoding_format": "float", "dimensions": 8}),
        ("texts in base64", {"input": ["one", "two"], "encoding_format": "base64"}),
        ("texts as documents", {"input": ["one"], "input_type": "document", "encoding_format": "base64"}),
        ("many texts", {"input": [f"text {number}" for number in range(70)], "encoding_format": "base64"}),
        ("tokens", {"input": [15339, 1917]}),
        ("lists of tokens", {"input": [[15339, 1917]]}),
        ("no text", {}),
        ("an empty list", {"input": []}),
        ("a blank text", {"input": ["a", " "]}),
        ("too many texts", {"input": ["a"] * 2049}),
        ("too many texts in a large body", {"input": ["a" * 40] * 2049}),
        ("a list in a large body", {"input": ["a" * 70_000, ["b"]]}),
        ("a text that is too long", {"input": "a" * 100_001}),
        ("fewer dimensions", {"input": "a", "dimensions": 4}),
        ("an unknown format", {"input": "a", "encoding_format": "int8"}),
        ("an unknown truncation", {"input": "a", "truncation": "END"}),
        ("no JSON", b"{"),
    ):
        yield f"vectors of {name}", post(EMBEDDINGS, body)
    yield "vectors at Azure's path", post(f"{AZURE}?api-version=2024-02-01&x=1", {"input": ["one"]})
    yield "vectors of a form", post(EMBEDDINGS, b"input=a", ("content-type", "application/x-www-form-urlencoded"))
    for gateway in ("starting", "failed"):
        yield f"vectors of a gateway that is {gateway}", post(EMBEDDINGS, {"input": "a"}, gateway=gateway)
    for name, target, body in (
        ("two texts for Ollama", OLLAMA, {"input": ["one", "two"], "truncate": True, "keep_alive": 5}),
        ("a text for Ollama", OLLAMA, {"input": "one", "model": "x"}),
        ("tokens for Ollama", OLLAMA, {"input": [1]}),
        ("no JSON for Ollama", OLLAMA, b"{"),
        ("a prompt", PROMPT, {"prompt": "one"}),
        ("a list as a prompt", PROMPT, {"prompt": ["one"]}),
        ("a prompt of nothing", PROMPT, {}),
        ("an unknown route of Ollama", "/api/chat", {}),
        ("two texts for TEI", TEI, {"inputs": ["one", "two"]}),
        ("a text for TEI", TEI, {"inputs": "one", "truncate": True, "normalize": True}),
        ("a text for TEI, as it is", TEI, {"inputs": "one", "normalize": False}),
        ("no text for TEI", TEI, {}),
    ):
        yield f"vectors of {name}", post(target, body)
    for target in (OLLAMA, TEI):
        yield (
            f"vectors of {target} from a starting gateway",
            post(target, {"input": "a", "inputs": "a"}, gateway="starting"),
        )
        yield f"vectors of {target} as text", post(target, b"{}", ("content-type", "text/plain"))
    for target in ("/api/tags", "/info", "/health"):
        yield f"{target} of a starting gateway", get(target, gateway="starting")
        yield f"{target} of a draining gateway", get(target, gateway="draining")
    yield "a model with a slash", get(f"{MODELS}/org/model")


_GROUPS = (
    _every_method, _paths, _documents, _jobs, _similar, _bodies, _many_documents, _limits, _operators, _states,
    _origins, _good, _settings, _reembedding, _sources,
    _embeddings,
)  # fmt: skip
CASES: dict[str, Case] = {name: case for group in _GROUPS for name, case in group()}
