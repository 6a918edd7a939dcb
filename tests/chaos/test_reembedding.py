"""A collection moves to another model while clients search and write, and while SIGKILL ends the gateway."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.ingesting import assert_all_found_once, in_batches
from tests.support.maintenance import assert_sound, maintain
from tests.support.models import under_another_fingerprint
from tests.support.processes import ServiceProcess
from tests.support.samples import RESTLESS
from tests.support.searching import SearchLoad
from tests.support.stack import Client, Document, embedder_process, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

REEMBED = "/v1/collections/default/reembed"
FILLING_KILLS = 6
SWITCHING_KILLS = 8


@pytest.fixture
def canary(tmp_path: Path, model_dir: Path) -> Iterator[ServiceProcess]:
    other = under_another_fingerprint(model_dir, tmp_path / "other")
    with embedder_process(tmp_path, other, name="canary") as process:
        process.wait_ready()
        yield process


@pytest.fixture
def gateway(
    tmp_path: Path, embedder: ServiceProcess, canary: ServiceProcess
) -> Iterator[tuple[ServiceProcess, Client]]:
    environment = {**RESTLESS, "TANDEM_CANARY_URL": service_url(canary), "TANDEM_QUERY_CACHE_SIZE": "0"}
    process, client = gateway_process(tmp_path, tmp_path / "data", service_url(embedder), env=environment)
    try:
        yield process, client
    finally:
        client.close()
        process.close()


def ask(client: Client, method: str, path: str = "", status: int = 200) -> dict[str, Any]:
    answer = client.http.request(method, REEMBED + path)
    assert answer.status_code == status, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def is_ready(client: Client) -> bool:
    return ask(client, "GET")["status"] == "ready"


def is_complete(client: Client) -> bool:
    state = ask(client, "GET")
    return bool(state["embedded_passages"] == state["total_passages"])


def fingerprint(client: Client) -> str:
    (record,) = client.http.get("/v1/collections").json()["collections"]
    found: str = record["fingerprint"]
    return found


def assert_found_by_vector(client: Client, documents: list[Document]) -> None:
    for document in documents:
        body = {"query": document["text"], "top_k": 1, "mode": "dense"}
        reply = client.http.post("/v1/search", json=body).raise_for_status().json()
        assert [hit["id"] for hit in reply["results"]] == [document["id"]]


def test_a_collection_moves_to_another_model_and_no_search_fails(
    gateway: tuple[ServiceProcess, Client], tmp_path: Path
) -> None:
    process, client = gateway
    first, second, third = in_batches(distinct_texts(300, seed=50), 100)
    process.start().wait_ready()
    client.ingest_and_wait(first)
    old = fingerprint(client)
    with SearchLoad(client.url) as load:
        started = ask(client, "POST", status=202)
        assert (started["serving_fingerprint"], started["total_passages"]) == (old, 100)
        new = started["fingerprint"]
        assert new != old
        assert "already" in ask(client, "POST", status=409)["error"]["message"]
        client.ingest_and_wait(second)
        assert client.http.delete("/v1/collections/default/documents/doc-7").json() == {"deleted": True}
        wait_until(lambda: is_ready(client), "all passages have new vectors")
        assert ask(client, "GET")["total_passages"] == 199
        overlap = ask(client, "GET", "/overlap?queries=20")
        assert (overlap["overlap"], overlap["top_k"]) == (1.0, 10)  # the same model under another name
        assert 10 <= overlap["queries"] <= 20
        load.go_on(20)
        switched = ask(client, "POST", "/switch")
        assert (switched["status"], switched["serving_fingerprint"], fingerprint(client)) == ("switched", new, new)
        load.go_on(50)
        client.ingest_and_wait(third)  # with the new model
        load.go_on(20)
        wait_until(lambda: is_complete(client), "the old vectors follow")
        assert ask(client, "POST", "/rollback")["serving_fingerprint"] == old
        load.go_on(50)
        ask(client, "POST", "/switch")
        load.go_on(50)
        assert ask(client, "DELETE") == {"deleted": True}
        load.go_on(20)
        ask(client, "GET", status=404)
    assert load.failures == []
    documents = [each for each in (*first, *second, *third) if each["id"] != "doc-7"]
    assert_found_by_vector(client, documents[::10])
    assert_all_found_once(client, documents)
    assert client.metric("tandem_gateway_fingerprint_mismatches_total") == 0
    assert client.metric("tandem_gateway_degraded_searches_total") == 0
    assert process.terminate() == 0
    assert_sound(tmp_path / "data")


def test_kills_while_the_new_vectors_are_made_and_while_they_take_over(
    gateway: tuple[ServiceProcess, Client], tmp_path: Path
) -> None:
    process, client = gateway
    (documents,) = in_batches(distinct_texts(600, seed=51), 600)
    draw = random.Random(52)
    process.start().wait_ready()
    client.ingest_and_wait(documents)
    old, new = fingerprint(client), ask(client, "POST", status=202)["fingerprint"]
    done = []
    for _ in range(FILLING_KILLS):
        time.sleep(draw.uniform(0, 0.4))  # a random delay, not synchronisation
        process.kill()
        process.start().wait_ready()
        assert fingerprint(client) == old
        done.append(ask(client, "GET")["embedded_passages"])
    assert done == sorted(done)
    wait_until(lambda: is_ready(client), "all passages have new vectors")
    assert process.terminate() == 0
    verified = maintain("verify", tmp_path / "data").stdout
    assert f"fingerprint {new} beside those that serve; index: agrees" in verified
    process.start().wait_ready()

    serving = old
    for _ in range(SWITCHING_KILLS):
        path, wanted = ("/switch", new) if serving == old else ("/rollback", old)
        answers: list[int] = []
        asking = threading.Thread(target=_post, args=(client.url + REEMBED + path, answers))
        asking.start()
        time.sleep(draw.uniform(0, 0.01))  # a random delay, not synchronisation
        process.kill()
        asking.join()
        process.start().wait_ready()
        now = fingerprint(client)
        assert now in (serving, wanted)
        assert not answers or (answers, now) == ([200], wanted)
        serving = now
        state = ask(client, "GET")
        assert (state["total_passages"], state["embedded_passages"]) == (600, 600)
        wait_until(lambda: client.health().model_loaded, "the gateway sees the embedder")
        assert_found_by_vector(client, documents[::60])
    assert process.terminate() == 0
    assert_sound(tmp_path / "data")


def _post(url: str, answers: list[int]) -> None:
    with httpx.Client(trust_env=False, timeout=30.0) as http:
        try:
            answers.append(http.post(url).status_code)
        except httpx.TransportError:
            return
