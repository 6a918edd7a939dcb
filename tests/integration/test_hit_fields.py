"""The parts of a hit that a search asks for or leaves out, with both services up."""

from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from tests.support.stack import Client, Stack

PARTS = [
    "The cat sat on the mat and looked at the rain outside. " * 12,
    "Error E-1042: the flux capacitor overheated. " * 12,
]
DOCUMENTS = [
    {"id": "long", "text": "\n\n".join(PARTS), "metadata": {"page": 1}},
    {"id": "dog", "text": "A puppy slept in its basket."},
]


@pytest.fixture
def filled(client: Client, collection: str) -> str:
    client.http.put(f"/v1/collections/{collection}", json={"chunking": {"max_tokens": 128}})
    client.ingest_and_wait(DOCUMENTS, collection)
    return collection


def search(client: Client, collection: str, query: str, **fields: Any) -> list[dict[str, Any]]:
    reply = client.http.post("/v1/search", json={"query": query, "collection": collection, **fields})
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["results"]
    return found


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_the_vector_is_that_of_the_passage_shown(client: Client, stack: Stack, filled: str, mode: str) -> None:
    usual = search(client, filled, "the flux capacitor E-1042", mode=mode)
    hits = search(client, filled, "the flux capacitor E-1042", mode=mode, include=["vector"])
    assert [{key: value for key, value in hit.items() if key != "vector"} for hit in hits] == usual
    assert hits[0]["passage"]["index"] > 0
    texts = [hit["passage"]["text"] for hit in hits]
    reply = httpx.post(f"{stack.embedder_url}/embed", json={"texts": texts}, trust_env=False)
    for hit, expected in zip(hits, reply.json()["embeddings"], strict=True):
        assert np.linalg.norm(hit["vector"]) == pytest.approx(1.0, abs=1e-5)
        assert np.dot(hit["vector"], expected) > 0.999
    if mode == "dense":  # float32 of the store, which the score comes from as well
        queries = httpx.post(
            f"{stack.embedder_url}/embed",
            json={"texts": ["the flux capacitor E-1042"], "kind": "query"},
            trust_env=False,
        )
        (query,) = queries.json()["embeddings"]
        for hit in hits:
            assert np.dot(hit["vector"], query) == pytest.approx(hit["score"], abs=1e-4)


@pytest.mark.parametrize("mode", ["auto", "hybrid", "dense", "lexical"])
@pytest.mark.parametrize(
    "exclude", [["text"], ["passage"], ["metadata"], ["text", "passage"], ["text", "metadata", "passage", "vector"]]
)
def test_what_is_left_out_changes_nothing_else(client: Client, filled: str, mode: str, exclude: list[str]) -> None:
    usual = search(client, filled, "the flux capacitor E-1042", mode=mode)
    hits = search(client, filled, "the flux capacitor E-1042", mode=mode, exclude=exclude)
    assert hits == [{key: value for key, value in hit.items() if key not in exclude} for hit in usual]


def test_large_documents_are_found_without_their_texts(client: Client, collection: str) -> None:
    client.http.put(f"/v1/collections/{collection}", json={"chunking": None})
    for batch in range(4):
        documents = [{"id": f"{batch}-{n}", "text": f"needle {batch} {n} " + "x\u00e9, " * 24_000} for n in range(50)]
        client.ingest_and_wait(documents, collection)
    asked = {"query": "needle", "top_k": 200, "collection": collection, "mode": "lexical"}
    refused = client.http.post("/v1/search", json=asked)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "top_k")
    assert len(search(client, **{**asked, "exclude": ["text", "passage"]})) == 200  # type: ignore[arg-type]


def test_each_search_of_a_batch_has_its_own_parts(client: Client, filled: str) -> None:
    searches = [
        {"query": "cat", "collection": filled},
        {"query": "cat", "collection": filled, "include": ["vector"], "exclude": ["text", "passage", "metadata"]},
    ]
    usual, other = client.http.post("/v1/search/batch", json={"searches": searches}).json()["replies"]
    assert [hit.keys() for hit in usual["results"]] == [{"id", "score", "text", "metadata", "scores", "passage"}] * 2
    assert [hit.keys() for hit in other["results"]] == [{"id", "score", "scores", "vector"}] * 2
    searches[1]["exclude"] = ["vector"]
    reply = client.http.post("/v1/search/batch", json={"searches": searches})
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "searches[1].exclude")
