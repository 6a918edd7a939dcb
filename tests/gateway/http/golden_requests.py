"""Requests for every route, method and error, for ``test_golden_replies``; ``golden/replies.json`` has the replies.

A case's name is its key in that file. The gateway of each case is one of ``golden_gateways.GATEWAYS``. The cases come
in the order of their groups: some change what later ones find.
"""

import gzip
import json
from collections.abc import Iterator

from tests.gateway.http import golden_bodies, golden_collections, golden_operations, golden_paths, golden_vectors
from tests.gateway.http.golden_case import DOCUMENTS, IN_BOOKS, INGEST, JSON, KEY, LINES, SEARCH, Case, get, post


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


_GROUPS = (
    golden_paths.every_method,
    golden_paths.paths,
    golden_paths.documents,
    golden_operations.jobs,
    golden_vectors.similar,
    golden_bodies.bodies,
    golden_collections.many_documents,
    golden_bodies.limits,
    golden_operations.operators,
    golden_operations.states,
    golden_paths.origins,
    _good,
    golden_collections.settings,
    golden_collections.reembedding,
    golden_collections.sources,
    golden_vectors.embeddings,
)
CASES: dict[str, Case] = {name: case for group in _GROUPS for name, case in group()}
