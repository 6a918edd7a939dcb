"""Dense, lexical and auto searches: the hits and the reported mode of each, with both services up."""

from typing import Any

import pytest

from tests.support.stack import Client

DOCUMENTS = [
    {"id": "cat", "text": "The cat sat on the mat.", "metadata": {"page": 1}},
    {"id": "dog", "text": "A puppy slept in its basket."},
    {"id": "error", "text": "Error E-1042: the flux capacitor overheated (see C++ docs)."},
]


@pytest.fixture
def filled(client: Client, collection: str) -> str:
    client.ingest_and_wait(DOCUMENTS, collection)
    return collection


@pytest.mark.parametrize("fields", [{}, {"mode": "auto"}, {"mode": "dense"}])
def test_with_an_embedder_search_is_dense(client: Client, filled: str, fields: dict[str, Any]) -> None:
    reply = client.search("a young dog", collection=filled, top_k=1, **fields)
    assert (reply.mode, reply.degraded) == ("dense", False)
    assert [hit.id for hit in reply.results] == ["dog"]
    assert 0 < reply.results[0].score <= 1


def test_lexical_search_finds_words_and_not_meanings(client: Client, filled: str) -> None:
    reply = client.search("E-1042", collection=filled, mode="lexical")
    assert (reply.mode, reply.degraded) == ("lexical", False)
    assert [hit.id for hit in reply.results] == ["error"]
    (hit,) = client.search("cats", collection=filled, mode="lexical").results
    assert (hit.id, hit.text, hit.metadata) == ("cat", DOCUMENTS[0]["text"], {"page": 1})
    assert hit.score > 0
    assert client.search("canine", collection=filled, mode="lexical").results == []


@pytest.mark.parametrize("query", ['"', "c++", "hello-world", "NOT AND OR (", "mat*", "text:mat", "!!!", "mat) OR (a"])
def test_no_query_text_acts_as_syntax(client: Client, filled: str, query: str) -> None:
    found = [hit.id for hit in client.search(query, collection=filled, mode="lexical").results]
    assert set(found) <= {document["id"] for document in DOCUMENTS}
    assert ("cat" in found) == ("mat" in query)


def test_an_unknown_collection_and_little_time(client: Client, filled: str) -> None:
    body = {"query": "cat", "mode": "lexical"}
    absent = client.http.post("/v1/search", json={**body, "collection": "absent"})
    assert (absent.status_code, absent.json()["error"]["param"]) == (404, "collection")
    headers = {"x-request-timeout-ms": "1"}
    hurried = client.http.post("/v1/search", json={**body, "collection": filled}, headers=headers)
    assert hurried.status_code in (200, 504)


def test_changes_and_deletions_are_seen_at_once(client: Client, filled: str) -> None:
    client.ingest_and_wait([{"id": "cat", "text": "The tiger sat on the mat."}], filled)
    assert client.search("cat", collection=filled, mode="lexical").results == []
    assert [hit.id for hit in client.search("tiger", collection=filled, mode="lexical").results] == ["cat"]
    assert client.http.delete(f"/v1/collections/{filled}/documents/cat").json() == {"deleted": True}
    assert client.search("tiger", collection=filled, mode="lexical").results == []
