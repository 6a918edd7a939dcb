"""The model change of docs/operations.md: the old model still serves its collections from the second pool."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.ingesting import in_batches
from tests.support.models import under_another_fingerprint
from tests.support.processes import ServiceProcess
from tests.support.searching import SearchLoad
from tests.support.stack import Client, embedder_process, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

KEEP_THE_OLD_MODEL = {
    "TANDEM_CANARY_WEIGHT": "100",
    "TANDEM_ROLLBACK_ERROR_RATE": "1",
    "TANDEM_ROLLBACK_P95_RATIO": "1000",
    "TANDEM_QUERY_CACHE_SIZE": "0",
}


@pytest.fixture
def stable(tmp_path: Path, model_dir: Path) -> Iterator[ServiceProcess]:
    with embedder_process(tmp_path, model_dir, name="stable") as running:
        yield running


def test_a_new_collection_gets_the_new_model_while_the_old_one_is_searched(
    tmp_path: Path, model_dir: Path, stable: ServiceProcess, embedder: ServiceProcess
) -> None:
    (documents,) = in_batches(distinct_texts(60, seed=42), 60)
    environment = {**KEEP_THE_OLD_MODEL, "TANDEM_CANARY_URL": service_url(embedder)}
    with ExitStack() as stack:
        gateway, client = gateway_process(tmp_path, tmp_path / "data", service_url(stable), env=environment)
        stack.callback(client.close)
        stack.enter_context(gateway)
        client.ingest_and_wait(documents)
        wait_until(lambda: calls(client, "canary") > 0, "the second pool serves")
        load = stack.enter_context(SearchLoad(client.url))
        load.go_on(20)
        stable.terminate()
        stable.env["TANDEM_MODEL_DIR"] = str(under_another_fingerprint(model_dir, tmp_path / "other"))
        stable.start().wait_ready()
        client.ingest_and_wait(documents, "next")
        load.go_on(20)
        load.stop()
        assert load.failures == []
        before, after = client.http.get("/v1/collections").raise_for_status().json()["collections"]
        assert (before["name"], after["name"]) == ("default", "next")
        assert None not in (before["fingerprint"], after["fingerprint"])
        assert before["fingerprint"] != after["fingerprint"]
        for collection in ("default", "next"):
            body = {"query": documents[3]["text"], "top_k": 1, "collection": collection, "mode": "dense"}
            reply = client.http.post("/v1/search", json=body).raise_for_status().json()
            assert [hit["id"] for hit in reply["results"]] == [documents[3]["id"]]
        assert client.metric("tandem_gateway_degraded_searches_total") == 0
        assert client.metric("tandem_gateway_fingerprint_mismatches_total") == 0


def calls(client: Client, pool: str) -> float:
    """Search, and return the number of calls that a pool has answered."""
    client.search("something")
    return client.metric("tandem_gateway_pool_calls_total", {"pool": pool})
