"""Similar documents with both services up: by a document and by a vector, agreeing with vector search."""

from typing import Any

import pytest

from tests.support.stack import Client

COUNT = 60


@pytest.fixture
def filled(client: Client, collection: str) -> str:
    documents = [
        {"id": f"d{n}", "text": f"a note on topic {n} of {n % 7} and {n % 5}", "metadata": {"group": n % 3}}
        for n in range(COUNT)
    ]
    client.ingest_and_wait(documents, collection)
    return collection


def similar(client: Client, collection: str, **fields: Any) -> list[dict[str, Any]]:
    reply = client.http.post("/v1/search/similar", json={"collection": collection, **fields})
    assert (reply.status_code, reply.json().get("mode")) == (200, "dense"), reply.text
    found: list[dict[str, Any]] = reply.json()["results"]
    return found


def ids(hits: list[dict[str, Any]]) -> list[str]:
    return [hit["id"] for hit in hits]


def test_a_document_and_its_vector_find_the_same_documents(client: Client, filled: str) -> None:
    by_document = similar(client, filled, document_id="d7", top_k=100, include=["vector"])
    assert len(by_document) == COUNT - 1
    assert "d7" not in ids(by_document)
    asked = {"query": "a note on topic 7", "collection": filled, "mode": "dense", "include": ["vector"], "top_k": 100}
    hits = client.http.post("/v1/search", json=asked).json()["results"]
    (vector,) = [hit["vector"] for hit in hits if hit["id"] == "d7"]
    by_vector = similar(client, filled, vector=[3 * number for number in vector], top_k=100)
    assert by_vector[0]["id"] == "d7"
    assert by_vector[0]["score"] == pytest.approx(1.0, abs=1e-6)
    assert ids(by_vector[1:]) == ids(by_document)
    assert [hit["score"] for hit in by_document] == sorted((hit["score"] for hit in by_document), reverse=True)


def test_pages_filters_and_the_least_score_are_those_of_a_search(client: Client, filled: str) -> None:
    whole = similar(client, filled, document_id="d7", top_k=100)
    pages = [hit for n in range(0, 80, 20) for hit in similar(client, filled, document_id="d7", top_k=20, offset=n)]
    assert pages == whole
    some = similar(client, filled, document_id="d7", top_k=100, filter={"group": 1})
    assert some == [hit for hit in whole if hit["metadata"]["group"] == 1]
    least = whole[10]["score"]
    near = similar(client, filled, document_id="d7", top_k=100, min_score=least)
    assert near == [hit for hit in whole if hit["score"] >= least]


def test_it_calls_no_embedder(client: Client, filled: str) -> None:
    before = client.metric("tandem_gateway_queries_per_call_count")
    similar(client, filled, document_id="d7")
    assert client.metric("tandem_gateway_queries_per_call_count") == before


def test_changes_are_seen_at_once(client: Client, filled: str) -> None:
    client.ingest_and_wait([{"id": "new", "text": "a note on topic 7 of 0 and 2"}], filled)
    assert ids(similar(client, filled, document_id="d7", top_k=1)) == ["new"]
    client.ingest_and_wait([{"id": "d7", "text": "The cat sat on the mat."}], filled)
    assert ids(similar(client, filled, document_id="new", top_k=100)).count("d7") == 1
    assert ids(similar(client, filled, document_id="d7", top_k=100)).count("d7") == 0
    client.http.delete(f"/v1/collections/{filled}/documents/d7")
    reply = client.http.post("/v1/search/similar", json={"collection": filled, "document_id": "d7"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "document_id")


def test_similar_documents_are_grouped_diversified_and_explained(client: Client, filled: str) -> None:
    plain = similar(client, filled, document_id="d7", top_k=100)
    asked = {"collection": filled, "document_id": "d7", "top_k": 3, "group_by": "group", "explain": True}
    reply = client.http.post("/v1/search/similar", json=asked).json()
    best: dict[int, str] = {}
    for hit in plain:
        best.setdefault(hit["metadata"]["group"], hit["id"])
    assert ids(reply["results"]) == list(best.values())
    ranks = [hit["explain"]["dense"]["rank"] for hit in reply["results"]]
    assert ranks == [ids(plain).index(hit["id"]) + 1 for hit in reply["results"]]
    assert reply["explain"]["candidates"]["dense"] == COUNT - 1
    assert reply["explain"]["candidates"]["lexical"] is None
    diverse = similar(client, filled, document_id="d7", top_k=100, diversity=1.0)
    assert sorted(ids(diverse)) == sorted(ids(plain))
    assert ids(diverse) != ids(plain)
    assert ids(diverse)[0] == ids(plain)[0]


def test_a_number_as_an_id_stands_for_its_text(client: Client, collection: str) -> None:
    client.ingest_and_wait([{"id": 7, "text": "seven"}, {"id": "8", "text": "eight"}], collection)
    assert ids(similar(client, collection, document_id=7)) == ["8"]
    documents = f"/v1/collections/{collection}/documents"
    found = client.http.post(f"{documents}/get", json={"ids": [8, 7, 9]}).json()
    assert (ids(found["documents"]), found["missing"]) == (["8", "7"], ["9"])
    assert client.http.post(f"{documents}/delete", json={"ids": [7]}).json() == {"deleted_documents": 1}


def test_a_document_shows_its_source_and_hash(client: Client, collection: str) -> None:
    given = [{"id": "a", "text": "one", "source": "shelf", "hash": "1"}, {"id": "b", "text": "two"}]
    client.ingest_and_wait(given, collection)
    documents = client.http.get(f"/v1/collections/{collection}/documents").json()["documents"]
    assert [(each.get("source"), each.get("hash")) for each in documents] == [("shelf", "1"), (None, None)]
    alone = client.http.get(f"/v1/collections/{collection}/documents?id=a").json()
    assert (alone["source"], alone["hash"]) == ("shelf", "1")
