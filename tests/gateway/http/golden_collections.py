"""Golden cases for a collection: its documents, facets, settings, sources and models."""

import json
from collections.abc import Iterator

from tests.gateway.http.golden_case import IN_BOOKS, INGEST, JSON, REEMBED, Case, get, patch, post


def many_documents() -> Iterator[tuple[str, Case]]:
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
    for name, change in (
        ("without metadata", {}),
        ("of null", {"metadata": None}),
        ("of another field", {"metadata": {}, "text": "x"}),
        ("of a list of booleans", {"metadata": {"a": [True]}}),
        ("nested too deeply", {"metadata": {"a": {"b": {"c": {"d": {}}}}}}),
        ("that is too large", {"metadata": {"a": "x" * 16_384}}),
        ("with a NUL", {"metadata": {"a": "\0"}}),
        ("that changes nothing", {"metadata": {"absent": None}}),
    ):
        yield f"a patch {name}", patch(f"{IN_BOOKS}/a", change)
    for target in (f"{IN_BOOKS}/absent", "/v1/collections/nowhere/documents/a", f"{IN_BOOKS}/..%2Fa"):
        yield f"a patch of {target}", patch(target, {"metadata": {}})
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


def settings() -> Iterator[tuple[str, Case]]:
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


def sources() -> Iterator[tuple[str, Case]]:
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


def reembedding() -> Iterator[tuple[str, Case]]:
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
