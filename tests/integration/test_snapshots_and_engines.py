"""Gateways share a store, snapshots and an engine: one ingests, the other searches, and starts without its data."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_contract.client_api import Collection
from tests.support.sharing import Start, shared_store, snapshot_sharers
from tests.support.stack import Client, metric, wait_until
from tests.support.texts import distinct_texts

ENGINES = ("usearch", "pgvector")
TEXTS = distinct_texts(60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a gateway with an own data directory, over the store, the engine and the folder that all of them share."""
    with shared_store() as url, snapshot_sharers(tmp_path, url, {"TANDEM_PGVECTOR_URL": "store"}) as start_one:
        yield start_one


def found(client: Client, collection: str, text: str, top_k: int = 1) -> list[str]:
    body = {"query": text, "top_k": top_k, "collection": collection, "mode": "dense"}
    reply = client.http.post("/v1/search", json=body, timeout=30)
    assert reply.status_code == 200, reply.text
    return [hit["id"] for hit in reply.json()["results"]]


def exact(client: Client, collection: str) -> float:
    return metric(client.url, "tandem_gateway_index_vectors", {"collection": collection, "part": "exact"})


def missing(client: Client) -> float:
    return metric(client.url, "tandem_gateway_engine_missing_vectors", {"collection": "pgvector"})


def shared(client: Client, outcome: str) -> float:
    return client.metric("tandem_gateway_shared_snapshots_total", {"outcome": outcome})


def test_a_gateway_searches_what_another_ingested_and_starts_without_its_data(start: Start, tmp_path: Path):
    _, one = start("one")
    process, two = start("two")
    assert one.metric("tandem_gateway_snapshot_builder") == 1
    for engine in ENGINES:
        assert one.call("PUT", f"/v1/collections/{engine}", Collection, body={"engine": engine}).engine == engine
        for begin in (0, 30):
            numbers = range(begin, begin + 30)
            one.ingest_and_wait([{"id": f"d{number}", "text": TEXTS[number]} for number in numbers], engine)
            assert [found(two, engine, TEXTS[number]) for number in numbers] == [[f"d{number}"] for number in numbers]
        assert one.delete_document("d0", engine)
        assert "d0" not in found(two, engine, TEXTS[0], 100)
    wait_until(lambda: exact(two, "usearch") == 0 and missing(two) == 0, "the graph and the engine have all vectors")
    assert shared(two, "loaded") >= 1

    assert process.terminate() == 0
    shutil.rmtree(tmp_path / "two")
    one.ingest_and_wait([{"id": "later", "text": "a later text"}], "usearch")
    process.start().wait_ready()
    assert shared(two, "loaded") >= 1
    loaded = [line for line in process.log_lines() if line["message"] == "index loaded"]
    origins = {line["collection"]: (line["origin"], line["vectors"] >= len(TEXTS) - 1) for line in loaded[-2:]}
    assert origins == {"usearch": ("shared snapshot", True), "pgvector": ("pgvector", True)}
    assert two.metric("tandem_gateway_snapshots_total", {"outcome": "saved"}) == 0
    for engine in ENGINES:
        live = [f"d{number}" for number in range(1, len(TEXTS))] + ["later"] * (engine == "usearch")
        assert sorted(found(two, engine, TEXTS[0], 100)) == sorted(live)
        assert [found(two, engine, TEXTS[number]) for number in (1, 59)] == [["d1"], ["d59"]]
    assert found(two, "usearch", "a later text") == ["later"]
    for client in (one, two):
        assert [shared(client, outcome) for outcome in ("refused", "failed", "built_alone")] == [0, 0, 0]
        assert client.metric("tandem_gateway_index_lag_seconds") < 60
