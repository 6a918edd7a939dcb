"""One process owns a data directory: other processes learn the owner, and a restart loses nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.maintenance import assert_sound, maintain
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, service_url
from tests.support.texts import distinct_texts

TEXTS = distinct_texts(40, seed=7)


@pytest.fixture
def gateway(tmp_path: Path, embedder: ServiceProcess) -> Iterator[tuple[ServiceProcess, Client]]:
    process, client = gateway_process(tmp_path, tmp_path / "data", service_url(embedder))
    with process:
        yield process, client
        client.close()


def test_a_running_gateways_data_is_left_alone(gateway: tuple[ServiceProcess, Client], tmp_path: Path) -> None:
    process, client = gateway
    data_dir = tmp_path / "data"
    client.ingest_and_wait([{"id": "x", "text": "an owned document"}])
    for command in ("verify", "rebuild"):
        done = maintain(command, data_dir)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"in use by process {process.pid} " in done.stderr
    second, other = gateway_process(tmp_path, data_dir, "http://127.0.0.1:9", name="second")
    other.close()
    assert second.start().wait_exit() == 1
    (line,) = [line for line in second.log_lines() if line["level"] != "info"]
    assert line["message"] == "the gateway cannot start"
    assert f"in use by process {process.pid} " in line["error"]
    assert client.found("an owned document") == ["x"]
    assert process.terminate() == 0
    assert_sound(data_dir)


def test_a_killed_gateways_lock_is_free(gateway: tuple[ServiceProcess, Client], tmp_path: Path) -> None:
    process, client = gateway
    client.ingest_and_wait([{"id": "x", "text": "an owned document"}])
    process.kill()
    assert_sound(tmp_path / "data")


def test_maintenance_of_a_missing_store_fails(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in ("verify", "rebuild"):
        for folder, says in (("nowhere", "is no directory"), ("empty", "holds no store")):
            done = maintain(command, tmp_path / folder)
            assert (done.returncode, done.stdout) == (1, "")
            assert says in done.stderr
    assert not (tmp_path / "nowhere").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_restart_keeps_everything(gateway: tuple[ServiceProcess, Client]) -> None:
    process, client = gateway
    jobs = []
    for collection in ("default", "other"):
        documents = [{"id": f"d{n}", "text": text, "metadata": {"n": n}} for n, text in enumerate(TEXTS)]
        jobs.append(client.ingest_and_wait(documents, collection))
    assert client.http.delete("/v1/collections/other/documents/d0").json() == {"deleted": True}

    def everything() -> list[object]:
        health = client.health()
        return [
            [client.job(job.job_id) for job in jobs],
            [client.search(text, 10, collection).results for collection in ("default", "other") for text in TEXTS],
            client.http.get("/v1/collections").json(),
            [client.http.get(f"/v1/collections/other/documents/d{n}").json() for n in range(3)],
            [health.document_count, health.fingerprint, health.model],
        ]

    before = everything()
    assert process.terminate() == 0
    process.start().wait_ready()
    assert everything() == before


def test_a_second_gateway_is_refused_although_the_lock_file_was_removed(
    gateway: tuple[ServiceProcess, Client], tmp_path: Path
) -> None:
    _, client = gateway
    client.ingest_and_wait([{"id": "x", "text": "an owned document"}])
    (tmp_path / "data" / "gateway.lock").unlink()
    second, other = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9", name="second")
    other.close()
    assert second.start().wait_exit() == 1
    assert client.found("an owned document") == ["x"]


def test_a_removed_data_directory_accepts_no_writes(gateway: tuple[ServiceProcess, Client], tmp_path: Path) -> None:
    _, client = gateway
    client.ingest_and_wait([{"id": "x", "text": "an owned document"}])
    assert "\ntandem_gateway_store_readable 1.0\n" in client.http.get("/metrics").text
    shutil.rmtree(tmp_path / "data")
    answer = client.http.post("/v1/ingest", json={"documents": [{"id": "y", "text": "a lost document"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable")
    assert "removed or replaced" in answer.json()["error"]["message"]
    health = client.http.get("/healthz")
    assert (health.status_code, health.json()["status"]) == (503, "failed")
    assert "removed or replaced" in health.json()["detail"]
    assert str(tmp_path) not in answer.text + health.text
    metrics = client.http.get("/metrics")
    assert metrics.status_code == 200
    assert "\ntandem_gateway_store_readable 0.0\n" in metrics.text
    assert 'tandem_gateway_documents{collection="default"}' in metrics.text


def test_a_port_in_use_ends_the_start(gateway: tuple[ServiceProcess, Client], tmp_path: Path) -> None:
    _, client = gateway
    port = client.url.rpartition(":")[2]
    second, other = gateway_process(
        tmp_path, tmp_path / "other", "http://127.0.0.1:9", name="second", env={"TANDEM_GATEWAY_PORT": port}
    )
    other.close()
    assert second.start().wait_exit() == 1
    assert "address already in use" in second.log_text()
    assert_sound(tmp_path / "other")
