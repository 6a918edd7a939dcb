"""Golden cases for methods, paths and hosts: which route answers, or why none does."""

from collections.abc import Iterator

from tests.gateway.http.golden_case import (
    BEARER,
    FIXED,
    IDS,
    IN_BOOKS,
    INGEST,
    JSON,
    REEMBED,
    SEARCH,
    TEMPLATES,
    TRAFFIC,
    Case,
    get,
    post,
    quoted,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
# Separate cases below cover the effects of these.
_DONE = {
    ("DELETE", "/v1/collections/books"), ("DELETE", f"{IN_BOOKS}/a"), ("PUT", TRAFFIC), ("POST", SEARCH), ("POST",
    INGEST), ("POST", REEMBED),
}  # fmt: skip


def every_method() -> Iterator[tuple[str, Case]]:
    for path in (*FIXED, *TEMPLATES, "/nothing", "/"):
        for method in METHODS:
            if (method, path) not in _DONE:
                yield f"{method} {path}", Case("serving", method, path, (BEARER,) if path == TRAFFIC else ())


def paths() -> Iterator[tuple[str, Case]]:
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


def documents() -> Iterator[tuple[str, Case]]:
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


def origins() -> Iterator[tuple[str, Case]]:
    cross = ("sec-fetch-site", "cross-site")
    yield "another site's search", post(SEARCH, {"query": "x"}, JSON, cross)
    yield "another site's GET", get("/livez", cross)
    yield "another site's DELETE", get(f"{IN_BOOKS}/a", cross, method="DELETE")
    yield "another host", Case("serving", "GET", "/livez", host="evil.example")
    yield "another host's unknown path", Case("serving", "GET", "/nothing", host="evil.example")
    for host in ("evil.example", "my_service:8000", "a/b", 'a"b', "<a>", "", "[::1]:80", "a b", "\u00e9"):
        yield f"host {host!a} of any", Case("anywhere", "GET", "/livez", host=host)
