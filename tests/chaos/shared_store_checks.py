"""The disk of the shared database is full, or gateways are frozen again and again during an ingest.

``make chaos-shared`` runs this file. Its name keeps it out of ``make test``, since it takes minutes. Root mounts the
small disk.
"""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tandem_gateway.adapters.postgres.migrations import migrate
from tests.chaos.test_shared_store import Balanced, Gateways, gateways, server
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.ingesting import RetryingClients, assert_all_found_once, in_batches
from tests.support.namespaces import require_mounts
from tests.support.postgres import PostgresServer
from tests.support.postgres_check import find_damage
from tests.support.stack import Client, Document, gateway_process, wait_until
from tests.support.texts import distinct_texts

__all__ = ["gateways", "server"]  # fixtures

DISK_BYTES: Final = 192 << 20
LEFT_BYTES: Final = 2 << 20
FREEZES: Final = 20
BATCH: Final = 25
LONG_SECONDS: Final = 20.0
"""Longer than the 15 seconds after which the documents of a gateway without a sign of life are free."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a small disk of its own; its path is short, since the database has a socket there."""
    require_mounts()
    folder = Path(tempfile.mkdtemp(prefix="tandem-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@pytest.fixture
def small(disk: Path) -> Iterator[PostgresServer]:
    """A database on the small disk, with commits that reach it."""
    made = PostgresServer("fsync=on", "full_page_writes=on", "min_wal_size=32MB", "max_wal_size=48MB", parent=disk)
    yield made
    made.remove()


def free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def occupy(path: Path, left: int) -> None:
    """Write a file until the disk has only ``left`` free bytes."""
    with path.open("wb", buffering=0) as file:
        while free_bytes(path.parent) > left:
            file.write(bytes(65_536))


@pytest.mark.parametrize("left", [LEFT_BYTES, 20 << 20], ids=["at once", "after some commits"])
def test_a_full_disk_of_the_database_refuses_writes_and_loses_nothing(
    tmp_path: Path, disk: Path, small: PostgresServer, left: int
) -> None:
    url = small.new_database_url()
    migrate(url)
    with HttpFakeEmbedder() as embedder:
        process, client = gateway_process(tmp_path, tmp_path / "data", embedder.url, env={"TANDEM_STORE_URL": url})
        with process:
            wait_until(lambda: client.health().model_loaded, "the gateway sees the embedder")
            first: list[Document] = [{"id": "first", "text": "the first document of all", "metadata": {}}]
            client.ingest_and_wait(first)
            occupy(disk / "ballast", left)

            acknowledged, refused = first, []
            batches = in_batches(distinct_texts(6000, seed=50), 10)
            for batch in batches:
                for document in batch:
                    document["metadata"]["filler"] = os.urandom(6_000).hex()  # PostgreSQL compresses what repeats
                if ingest(client, batch):
                    acknowledged = [*acknowledged, *batch]
                else:
                    refused.append(batch)
                    if len(refused) == 12:
                        break
            assert len(refused) == 12
            assert client.http.get("/readyz").status_code == 200
            reply = client.http.post("/v1/search", json={"query": "the first document of all"}, timeout=30)
            if reply.status_code == 200:
                assert reply.json()["results"][0]["id"] == "first"
            else:  # the database has crashed: it had no room for its log
                assert (reply.status_code, reply.json()["error"]["code"]) == (503, "storage_unavailable")

            (disk / "ballast").unlink()
            small.stop(signal.SIGINT)
            small.start()  # it may have ended itself; an operator starts it again once there is room
            for batch in refused:
                wait_until(lambda batch=batch: ingest(client, batch), "a write is taken")
                acknowledged = [*acknowledged, *batch]
            wait_until(lambda: client.health().pending_documents == 0, "everything has its vector", 60.0)
            health = client.health()
            assert (health.document_count, health.status) == (len(acknowledged), "ok")
            assert_all_found_once(client, acknowledged[::10])
        client.close()
    assert find_damage(url) == []


def ingest(client: Client, batch: list[Document]) -> bool:
    """Send documents; return whether they were acknowledged. Anything but a refusal with its reason fails."""
    reply = client.http.post("/v1/ingest", json={"documents": batch}, timeout=45)
    if reply.status_code == 202:
        return True
    assert (reply.status_code, reply.json()["error"]["code"]) in [(503, "storage_unavailable"), (503, "overloaded")]
    assert int(reply.headers["retry-after"]) >= 1
    return False


def test_gateways_are_frozen_during_an_ingest_and_the_others_go_on(gateways: Gateways) -> None:
    clients = [client for _, client in gateways]
    batches = in_batches(distinct_texts(FREEZES * 2 * BATCH), BATCH)
    documents = [document for batch in batches for document in batch]
    draw = random.Random(31)
    running = Balanced(clients, 32)
    with RetryingClients(running, batches, allowed=2) as writers:  # type: ignore[arg-type]
        for freeze in range(FREEZES):
            frozen = draw.randrange(len(gateways))
            others = [client for number, client in enumerate(clients) if number != frozen]
            writers.allow((freeze + 1) * 2)
            time.sleep(draw.uniform(0, 0.3))  # a random delay, not synchronisation
            os.kill(gateways[frozen][0].pid, signal.SIGSTOP)
            try:
                thawed = time.monotonic() + (LONG_SECONDS if freeze % 7 == 3 else draw.uniform(0, 2))
                for number, client in enumerate(others):
                    text = f"freeze {freeze}, the gateway {number} of those that go on"
                    document = {"id": f"{freeze}-{number}", "text": text, "metadata": {}}
                    documents.append(document)
                    client.ingest_and_wait([document])
                    assert client.found(text, 1) == [document["id"]]
                time.sleep(max(0.0, thawed - time.monotonic()))  # as above
            finally:
                os.kill(gateways[frozen][0].pid, signal.SIGCONT)
        writers.join()
    jobs = [clients[number % len(clients)].wait_job(job_id) for number, job_id in enumerate(writers.acknowledged)]
    assert len(jobs) == len(batches)
    assert {(job.status, job.processed_documents) for job in jobs} == {("completed", BATCH)}
    for client in clients:
        wait_until(lambda client=client: client.health().pending_documents == 0, "nothing waits")
        assert client.health().document_count == len(documents)
        assert_all_found_once(client, documents)
