"""SIGKILL ends the gateway again and again while clients ingest: no document is lost or duplicated."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ingesting import RetryingClients, assert_all_found_once, assert_stored_once, in_batches
from tests.support.maintenance import assert_sound
from tests.support.processes import ServiceProcess, helpers_of
from tests.support.samples import RESTLESS
from tests.support.stack import Client, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

KILLS = 10
BATCHES = 20


@pytest.fixture
def gateway(tmp_path: Path, embedder: ServiceProcess) -> Iterator[tuple[ServiceProcess, Client]]:
    process, client = gateway_process(tmp_path, tmp_path / "data", service_url(embedder), env=RESTLESS)
    try:
        yield process, client
    finally:
        client.close()
        process.close()


def test_ten_kills_during_an_ingest_of_2000_documents(gateway: tuple[ServiceProcess, Client], tmp_path: Path) -> None:
    process, client = gateway
    batches = in_batches(distinct_texts(2000), 2000 // BATCHES)
    documents = [document for batch in batches for document in batch]
    draw = random.Random(20)
    with RetryingClients(client, batches, allowed=2) as clients:
        for kill in range(KILLS):
            process.start()
            if kill % 5 < 3:  # else at a random point of the startup
                process.wait_ready()
            clients.allow((kill + 1) * BATCHES // KILLS)
            time.sleep(draw.uniform(0, 0.8))  # a random delay, not synchronisation
            process.kill()
        process.start().wait_ready()
        clients.join()
    jobs = [client.wait_job(job_id) for job_id in clients.acknowledged]

    assert len(jobs) == BATCHES
    assert clients.attempts > BATCHES  # the clients did notice the kills
    assert {job.status for job in jobs} == {"completed"}
    assert {job.processed_documents for job in jobs} == {2000 // BATCHES}
    health = client.health()
    assert (health.document_count, health.pending_documents) == (2000, 0)
    assert_all_found_once(client, documents)
    assert process.terminate() == 0
    assert_stored_once(tmp_path / "data", documents)
    assert_sound(tmp_path / "data")


def test_kills_while_a_snapshot_is_taken(gateway: tuple[ServiceProcess, Client], tmp_path: Path) -> None:
    process, client = gateway
    batches = in_batches(distinct_texts(400, seed=1), 100)
    draw = random.Random(21)
    for batch in batches:
        process.start().wait_ready()
        client.ingest_and_wait(batch)
        wait_until(lambda: helpers_of(process), "a snapshot helper")
        time.sleep(draw.uniform(0, 0.5))  # roughly how long it runs
        process.kill()
    process.start().wait_ready()
    documents = [document for batch in batches for document in batch]
    assert client.health().document_count == len(documents)
    assert_all_found_once(client, documents)
    wait_until(lambda: any((tmp_path / "data" / "index").glob("*/manifest.json")), "a snapshot after all")
    assert process.terminate() == 0
    assert_stored_once(tmp_path / "data", documents)
    assert_sound(tmp_path / "data")


def test_a_killed_snapshot_helper_is_noticed_and_replaced(
    gateway: tuple[ServiceProcess, Client], tmp_path: Path
) -> None:
    process, client = gateway
    process.start().wait_ready()
    batches = in_batches(distinct_texts(100, seed=2), 50)
    client.ingest_and_wait(batches[0])

    def killed_one() -> bool:
        for helper in helpers_of(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(helper, signal.SIGKILL)
        return client.metric("tandem_gateway_snapshots_total", {"outcome": "failed"}) >= 1

    wait_until(killed_one, "a helper that failed")
    assert any(line["message"] == "the index could not be saved" for line in process.log_lines())
    client.ingest_and_wait(batches[1])
    saved = client.metric("tandem_gateway_snapshots_total", {"outcome": "saved"})
    wait_until(
        lambda: client.metric("tandem_gateway_snapshots_total", {"outcome": "saved"}) > saved, "the next snapshot"
    )
    assert process.terminate() == 0
    assert_sound(tmp_path / "data")


def test_an_ingest_with_a_key_that_is_sent_again_after_kills_is_stored_once(
    gateway: tuple[ServiceProcess, Client], tmp_path: Path
) -> None:
    process, client = gateway
    body = {"documents": [{"text": text} for text in distinct_texts(50, seed=3)]}
    replies = []
    for number in range(4):
        process.start().wait_ready()
        replies += [
            (key, client.http.post("/v1/ingest", json=body, headers={"idempotency-key": key}).json())
            for key in ("first", "second")[: number + 1]
        ]
        process.kill()
    process.start().wait_ready()
    assert len({(key, reply["job_id"], *reply["document_ids"]) for key, reply in replies}) == 2
    for _, reply in replies:
        assert client.wait_job(reply["job_id"]).status == "completed"
    assert client.health().document_count == 100
    assert process.terminate() == 0
    assert_sound(tmp_path / "data")
