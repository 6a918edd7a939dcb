"""Filtered searches agree with a predicate over the stored metadata: all modes, after updates and a restart."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from tests.gateway.filters.strategies import expected
from tests.support.stack import Client, Stack
from tests.support.texts import distinct_texts

COUNT = 300
QUERY = "the animal in the garden"
FILTERS: list[dict[str, Any]] = [
    {},
    {"lang": "en"},
    {"lang": "it"},
    {"year": {"$gte": 1960, "$lt": 1970}},
    {"lang": {"$in": ["de", "fr"]}, "tags": {"$contains": "a"}},
    {"$or": [{"nested.deep": {"$gt": 2}}, {"year": 1999}]},
    {"$not": {"lang": "en"}},
    {"rare": {"$exists": True}},
    {"big": {"$gt": 2**53}},
    {"year": {"$lt": 0}},
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    """Services whose index of 300 documents has a graph."""
    folder = tmp_path_factory.mktemp("filters")
    with Stack(folder, model_dir, gateway_env={"TANDEM_EXACT_BELOW": "100"}) as running:
        yield running


def metadata_of(random: Random, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "year": random.randrange(1940, 2000),
        "lang": random.choice(["en", "de", "fr"]),
        "tags": random.sample(["a", "b", "c"], 2),
        "nested": {"deep": random.randrange(5)},
        "big": 2**53 + random.randrange(-1, 2),
    }
    if number % 60 == 0:
        made["rare"] = None
    return made


def call(client: Client, path: str, body: Any = None) -> Any:
    return client.send("GET" if body is None else "POST", path, body=body).json()


def search(client: Client, condition: dict[str, Any], mode: str, top_k: int, **more: Any) -> list[dict[str, Any]]:
    body = {"query": QUERY, "filter": condition, "mode": mode, "top_k": top_k, **more}
    found: list[dict[str, Any]] = call(client, "/v1/search", body)["results"]
    return found


def check(client: Client, held: dict[str, dict[str, Any]]) -> None:
    """Check all filters against the predicate over what is held."""
    everything = {mode: search(client, {}, mode, 1000) for mode in ("dense", "lexical")}
    assert {hit["id"]: hit["metadata"] for hit in everything["dense"]} == held
    for condition in FILTERS:
        right = {doc_id for doc_id, metadata in held.items() if expected(condition, metadata)}
        for mode, hits in everything.items():
            ids = [hit["id"] for hit in hits if hit["id"] in right]
            for top_k in (1, 5, 1000):
                found = search(client, condition, mode, top_k)
                assert [hit["id"] for hit in found] == ids[:top_k], (condition, mode)
            assert [hit["id"] for hit in search(client, condition, mode, 3, offset=2)] == ids[2:5]
        for mode in ("hybrid", "auto"):
            for top_k in (1, 5, 1000):
                found = search(client, condition, mode, top_k)
                assert len(found) == min(top_k, len(right)), (condition, mode)
                assert {hit["id"] for hit in found} <= right
        listed = call(client, f"/v1/collections/default/documents?limit=1000&filter={quote(json.dumps(condition))}")
        assert [document["id"] for document in listed["documents"]] == sorted(right)


@pytest.mark.slow
def test_filtered_searches_agree_with_the_predicate(stack: Stack):
    client, random = stack.client, Random(5)
    texts = distinct_texts(COUNT + 100, seed=3)
    held = {f"d{number}": metadata_of(random, number) for number in range(COUNT)}
    text_of = dict(zip(held, texts, strict=False))
    client.ingest_and_wait([{"id": key, "text": text_of[key], "metadata": value} for key, value in held.items()])
    check(client, held)
    # New metadata alone, new texts, and new documents.
    changed = [f"d{number}" for number in range(0, COUNT, 4)]
    for place, doc_id in enumerate(changed):
        held[doc_id] = metadata_of(random, place)
        if place % 2:
            text_of[doc_id] = texts[COUNT + place]
    held["new"], text_of["new"] = metadata_of(random, 60), "an animal that is new in the garden"
    client.ingest_and_wait([{"id": each, "text": text_of[each], "metadata": held[each]} for each in [*changed, "new"]])
    check(client, held)
    deleted = call(client, "/v1/collections/default/documents/delete", {"filter": {"year": {"$lt": 1950}}})
    gone = {doc_id for doc_id, metadata in held.items() if metadata["year"] < 1950}
    assert deleted == {"deleted_documents": len(gone)}
    held = {doc_id: metadata for doc_id, metadata in held.items() if doc_id not in gone}
    check(client, held)
    for place, doc_id in enumerate(sorted(held)[::10]):
        held[doc_id] = {**held[doc_id], "lang": "it", "year": 1960 + place}
        changes = {"metadata": {"lang": "it", "year": 1960 + place}}
        reply = client.http.patch(f"/v1/collections/default/documents/{doc_id}", json=changes)
        assert reply.json()["metadata"] == held[doc_id]
    check(client, held)
    stack.gateway.kill()
    stack.gateway.start()
    stack.gateway.wait_ready()
    check(client, held)
    # Keyword search takes filters without an embedder, too.
    stack.embedder.kill()
    degraded = call(client, "/v1/search", {"query": f"{QUERY}, unseen", "filter": {"lang": "en"}})
    assert degraded["degraded"]
    assert {hit["metadata"]["lang"] for hit in degraded["results"]} == {"en"}
