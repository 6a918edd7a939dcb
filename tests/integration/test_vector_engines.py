"""A gateway whose collections are in pgvector and in Milvus, beside one in its memory."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tandem_contract.client_api import Collection
from tests.support import postgres
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.late_milvus import LateMilvus
from tests.support.maintenance import maintain
from tests.support.milvus import MilvusServer
from tests.support.postgres_check import find_damage
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, metric, wait_until
from tests.support.texts import distinct_texts

ENGINES = ("usearch", "pgvector", "milvus")
TEXTS = distinct_texts(40)
LATE_SECONDS = 5.0
"""Milvus' bound on the time until searches see a change."""


@pytest.fixture
def milvus() -> Iterator[MilvusServer]:
    made = MilvusServer()
    yield made
    made.remove()


@pytest.fixture
def late(milvus: MilvusServer) -> Iterator[LateMilvus]:
    """The way to the server; searches see changes some seconds late."""
    made = LateMilvus(milvus.url, LATE_SECONDS)
    yield made
    made.close()


@pytest.fixture
def url() -> Iterator[str]:
    taken = postgres.databases().take_url()
    yield taken
    assert find_damage(taken) == []
    postgres.databases().give_back(taken)


@pytest.fixture
def environment(url: str, late: LateMilvus) -> dict[str, str]:
    engines = {"TANDEM_PGVECTOR_URL": "store", "TANDEM_MILVUS_URL": late.url}
    often = {"TANDEM_SNAPSHOT_CHANGES": "20", "TANDEM_SNAPSHOT_SECONDS": "3", "TANDEM_EXACT_BELOW": "10"}
    return {"TANDEM_STORE_URL": url, **engines, **often}


@pytest.fixture
def gateway(tmp_path: Path, environment: dict[str, str]) -> Iterator[tuple[ServiceProcess, Client]]:
    with HttpFakeEmbedder() as embedder:
        process, client = gateway_process(tmp_path, tmp_path / "data", embedder.url, env=environment)
        with process:
            wait_until(lambda: client.health().model_loaded, "the gateway sees the embedder")
            yield process, client
        client.close()


def in_graph(client: Client, engine: str) -> float:
    """Return how many vectors the engine has."""
    return metric(client.url, "tandem_gateway_index_vectors", {"collection": engine, "part": "graph"})


def search(client: Client, engine: str, text: str, top_k: int = 1, **options: object) -> httpx.Response:
    body = {"query": text, "top_k": top_k, "collection": engine, "mode": "dense", **options}
    return client.http.post("/v1/search", json=body, timeout=30)


def found(client: Client, engine: str, text: str, top_k: int = 1, **options: object) -> list[str]:
    reply = search(client, engine, text, top_k, **options)
    assert reply.status_code == 200, reply.text
    return [hit["id"] for hit in reply.json()["results"]]


def test_collections_in_engines_are_searched_like_any_other(
    gateway: tuple[ServiceProcess, Client],
    milvus: MilvusServer,
    late: LateMilvus,
    environment: dict[str, str],
    tmp_path: Path,
):
    process, client = gateway
    for engine in ENGINES:
        made = client.call("PUT", f"/v1/collections/{engine}", Collection, body={"engine": engine})
        assert made.engine == engine
        documents = [{"id": f"d{number}", "text": text, "metadata": {"n": number}} for number, text in enumerate(TEXTS)]
        client.ingest_and_wait(documents, engine)
    for engine in ENGINES:
        wait_until(lambda engine=engine: in_graph(client, engine) == len(TEXTS), f"{engine} has all vectors")
        for number, text in enumerate(TEXTS):
            assert found(client, engine, text) == [f"d{number}"]
        assert client.delete_document("d0", engine)
        client.ingest_and_wait([{"id": "d1", "text": "another text"}], engine)
        left = found(client, engine, TEXTS[0], 200)
        assert sorted(left) == sorted(f"d{number}" for number in range(1, len(TEXTS)))
        assert found(client, engine, "another text") == ["d1"]
        among = found(client, engine, TEXTS[5], 3, filter={"n": {"$gte": 30}})
        assert [int(doc_id[1:]) >= 30 for doc_id in among] == [True] * 3

    # The gateway is killed after the engine got vectors, and before their position is recorded there.
    late.stop_before("tandem_generations")
    client.ingest_and_wait([{"id": "crash", "text": "a text before the crash"}], "milvus")
    assert found(client, "milvus", "a text before the crash") == ["crash"]
    wait_until(late.is_stopped, "the engine has the vector, and not the position")
    process.kill()
    late.go_on()
    process.start().wait_ready()
    assert found(client, "milvus", "a text before the crash") == ["crash"]
    assert sorted(found(client, "milvus", TEXTS[0], 200)) == sorted({*left, "crash"})

    milvus.kill()  # concerns its collection alone
    wait_until(lambda: search(client, "milvus", TEXTS[3]).status_code == 503, "the error of a dead engine")
    assert [found(client, engine, TEXTS[3]) for engine in ("usearch", "pgvector")] == [["d3"], ["d3"]]
    process.kill()
    process.start().wait_ready()  # without the engine
    assert [search(client, engine, TEXTS[3]).status_code for engine in ENGINES] == [200, 200, 503]
    client.ingest_and_wait([{"id": "later", "text": "a later text"}], "milvus")
    milvus.start()
    wait_until(lambda: search(client, "milvus", TEXTS[3]).status_code == 200, "the engine answers again")
    assert found(client, "milvus", "a later text") == ["later"]
    assert [found(client, engine, TEXTS[3]) for engine in ENGINES] == [["d3"]] * 3

    assert process.terminate() == 0
    verified = maintain("verify", tmp_path / "data", settings=environment)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "pgvector agrees with the store in 39 vectors" in verified.stdout
    assert "milvus agrees with the store in 41 vectors" in verified.stdout


def test_an_engine_that_the_gateway_is_not_set_up_for_is_refused(tmp_path: Path):
    with HttpFakeEmbedder() as embedder:
        process, client = gateway_process(tmp_path, tmp_path / "data", embedder.url)
        with process:
            reply = client.http.put("/v1/collections/c", json={"engine": "milvus"})
            assert reply.status_code == 422
            error = reply.json()["error"]
            assert (error["param"], "not set up for it" in error["message"]) == ("engine", True)
        client.close()
