"""The disk is full or read-only: the gateway acknowledges only data that is on disk, and loses none of it."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_contract.client_api import Health
from tests.support.ingesting import assert_all_found_once, assert_stored_once, in_batches
from tests.support.maintenance import assert_sound
from tests.support.namespaces import require_mounts
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, Document, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

DISK_BYTES = 16 << 20
BALLAST_BYTES = 13 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk of its own."""
    require_mounts()
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def gateway(tmp_path: Path, disk: Path, embedder: ServiceProcess) -> Iterator[tuple[ServiceProcess, Client]]:
    process, client = gateway_process(tmp_path, disk / "data", service_url(embedder))
    try:
        yield process, client
    finally:
        client.close()
        process.close()


def test_a_full_disk_refuses_writes_until_there_is_room_again(
    gateway: tuple[ServiceProcess, Client], disk: Path
) -> None:
    process, client = gateway
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    process.start().wait_ready()
    client.ingest_and_wait([{"id": "first", "text": "the first document of all"}])
    batches = in_batches(distinct_texts(400, seed=50), 10)
    for batch in batches:
        for document in batch:
            document["metadata"]["filler"] = "x" * 15_000
    acknowledged: list[Document] = [{"id": "first", "text": "the first document of all", "metadata": {}}]
    refused: list[list[Document]] = []
    for batch in batches:
        answer = client.http.post("/v1/ingest", json={"documents": batch})
        if answer.status_code == 202:
            acknowledged += batch
            continue
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        refused.append(batch)
        if len(refused) == 3:
            break
    assert len(refused) == 3
    # Requests that need no disk still work; pending documents keep waiting.
    assert client.http.get("/readyz").status_code == 200
    assert client.found("the first document of all", 1) == ["first"]
    labels = {"route": "/v1/ingest", "code": "503"}
    assert client.metric("tandem_gateway_requests_total", labels) == 3

    def degraded() -> Health | None:
        """Return the state after a refused write; a small write of the gateway's own may succeed in between."""
        assert client.http.post("/v1/ingest", json={"documents": refused[0]}).status_code == 503
        health = client.health()
        return health if health.status == "degraded" else None

    health = wait_until(degraded, "a store that cannot be written")
    assert health.model_loaded
    assert "the disk is full" in health.detail
    assert str(disk) not in answer.text + health.detail
    assert str(disk) in process.log_path.read_text()

    ballast.unlink()
    wait_until(
        lambda: client.http.post("/v1/ingest", json={"documents": refused[0]}).status_code == 202, "a write is taken"
    )
    acknowledged += refused[0]
    wait_until(lambda: client.health().pending_documents == 0, "everything has its vector")
    health = client.health()
    assert (health.document_count, health.status) == (len(acknowledged), "ok")
    assert_all_found_once(client, acknowledged[::20])
    assert process.terminate() == 0
    assert_stored_once(disk / "data", acknowledged)
    assert_sound(disk / "data")


def fill(path: Path) -> None:
    """Write to a file until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_kill_while_the_disk_is_full_loses_nothing_acknowledged(
    gateway: tuple[ServiceProcess, Client], disk: Path
) -> None:
    process, client = gateway
    process.start().wait_ready()
    (documents,) = in_batches(distinct_texts(50, seed=51), 50)
    client.ingest(documents)
    fill(disk / "ballast")
    wait_until(
        lambda: client.http.post("/v1/ingest", json={"documents": [{"text": "y" * 50_000}]}).status_code == 503,
        "a write is refused",
    )
    process.kill()
    (disk / "ballast").unlink()
    process.start().wait_ready()
    wait_until(lambda: client.health().pending_documents == 0, "everything has its vector")
    assert_all_found_once(client, documents)
    assert process.terminate() == 0
    assert_sound(disk / "data")


def test_a_read_only_disk_is_refused_by_name_and_nothing_is_lost(
    gateway: tuple[ServiceProcess, Client], disk: Path
) -> None:
    process, client = gateway
    process.start().wait_ready()
    (documents,) = in_batches(distinct_texts(20, seed=52), 20)
    client.ingest_and_wait(documents)
    assert process.terminate() == 0
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    process.start()
    assert process.wait_exit() == 1
    failure = process.log_lines()[-2]
    assert (failure["level"], failure["message"]) == ("critical", "the gateway cannot start")
    assert str(disk / "data") in failure["error"]
    assert "ead-only" in failure["error"]
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    process.start().wait_ready()
    assert_all_found_once(client, documents)
    assert process.terminate() == 0
    assert_sound(disk / "data")
