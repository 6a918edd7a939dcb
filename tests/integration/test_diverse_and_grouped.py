"""Diverse and grouped hits with both services up."""

from typing import Any

import pytest

from tests.support.stack import Client

TOPICS = ["cats", "dogs", "birds", "fish", "horses"]


@pytest.fixture
def filled(client: Client, collection: str) -> str:
    documents = [
        {
            "id": f"d{n}",
            "text": f"A note on {TOPICS[n % 5]} and their food, number {n}.",
            "metadata": {"of": {"topic": TOPICS[n % 5]}} if n < 140 else {},
        }
        for n in range(150)
    ]
    client.ingest_and_wait(documents, collection)
    return collection


def search(client: Client, collection: str, **fields: Any) -> list[dict[str, Any]]:
    reply = client.http.post("/v1/search", json={"query": "food for cats", "collection": collection, **fields})
    assert reply.status_code == 200, reply.text
    assert reply.json()["warnings"] == []
    found: list[dict[str, Any]] = reply.json()["results"]
    return found


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_each_group_has_its_best_hit(client: Client, filled: str, mode: str) -> None:
    whole = search(client, filled, mode=mode, top_k=150)
    best: dict[str, dict[str, Any]] = {}
    for hit in whole:
        best.setdefault(hit["metadata"]["of"]["topic"] if hit["metadata"] else hit["id"], hit)
    assert search(client, filled, mode=mode, top_k=100, group_by="of.topic") == list(best.values())
    assert len(best) == 15
    pages = [
        hit for n in (0, 4, 8, 12) for hit in search(client, filled, mode=mode, top_k=4, offset=n, group_by="of.topic")
    ]
    assert pages == list(best.values())
    some = search(client, filled, mode=mode, top_k=100, group_by="of.topic", filter={"of.topic": {"$exists": True}})
    assert sorted(hit["metadata"]["of"]["topic"] for hit in some) == sorted(TOPICS)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_diversity_reorders_the_hits(client: Client, filled: str, mode: str) -> None:
    whole = search(client, filled, mode=mode, top_k=150)
    assert search(client, filled, mode=mode, top_k=150, diversity=0) == whole
    diverse = search(client, filled, mode=mode, top_k=150, diversity=0.7)
    assert diverse != whole
    assert sorted(hit["id"] for hit in diverse) == sorted(hit["id"] for hit in whole)
    assert {hit["id"]: hit for hit in diverse} == {hit["id"]: hit for hit in whole}
    assert diverse[0] == whole[0]
    assert [hit["id"] for hit in diverse[100:]] == [hit["id"] for hit in whole[100:]]
    assert {hit["id"] for hit in diverse[:100]} == {hit["id"] for hit in whole[:100]}
    pages = [
        hit for n in range(0, 150, 30) for hit in search(client, filled, mode=mode, top_k=30, offset=n, diversity=0.7)
    ]
    assert pages == diverse

    def topics(hits: list[dict[str, Any]]) -> int:
        return len({int(hit["id"][1:]) % 5 for hit in hits[:5]})

    assert topics(diverse) >= topics(whole)


def test_groups_can_be_diverse(client: Client, filled: str) -> None:
    grouped = search(client, filled, top_k=9, group_by="of.topic")
    every = search(client, filled, top_k=15, group_by="of.topic")
    diverse = search(client, filled, top_k=15, group_by="of.topic", diversity=0.5)
    assert every[:9] == grouped
    assert sorted(hit["id"] for hit in diverse) == sorted(hit["id"] for hit in every)
