"""The only embedder misbehaves: the client's error, the metrics, and the recovery."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tandem_contract.client_api import Job
from tests.support.faulty import Fault, FaultyEmbedder
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, service_url, wait_until

# Fault → code of the client's error, outcome of the call in the metrics. test_broken_embedder covers another model.
SEEN: dict[Fault, tuple[str, str]] = {
    "refused": ("embedder_unavailable", "EmbedderUnavailable"),
    "unavailable": ("embedder_unavailable", "EmbedderUnavailable"),
    "no HTTP": ("embedder_unavailable", "EmbedderUnavailable"),
    "reset": ("embedder_unavailable", "EmbedderUnavailable"),
    "garbage": ("embedder_unavailable", "EmbedderBroken"),
    "wrong rows": ("embedder_unavailable", "EmbedderBroken"),
    "slow": ("deadline_exceeded", "DeadlineExceeded"),
    "hung": ("deadline_exceeded", "DeadlineExceeded"),
}


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory, embedder: ServiceProcess) -> Iterator[tuple[FaultyEmbedder, Client]]:
    folder = tmp_path_factory.mktemp("lone")
    with ExitStack() as stack:
        faulty = stack.enter_context(FaultyEmbedder(service_url(embedder)))
        environment = {"TANDEM_SEARCH_TIMEOUT_SECONDS": "0.5", "TANDEM_BULK_TIMEOUT_SECONDS": "0.5"}
        process, client = gateway_process(folder, folder / "data", faulty.url, env=environment)
        stack.callback(client.close)
        stack.enter_context(process)
        client.ingest_and_wait([{"id": "x", "text": "a document"}])
        yield faulty, client


@pytest.mark.parametrize("fault", SEEN)
def test_a_fault_is_reported_counted_and_survived(lone: tuple[FaultyEmbedder, Client], fault: Fault) -> None:
    faulty, client = lone
    code, outcome = SEEN[fault]

    def failed_calls() -> float:
        return client.metric("tandem_gateway_embedder_call_duration_seconds_count", {"outcome": outcome})

    def retries() -> float:
        return client.metric("tandem_gateway_embedding_backoffs_total", {"reason": outcome})

    before = failed_calls(), retries()
    faulty.fault = fault
    try:
        answer = client.http.post("/v1/search", json={"query": f"a query during {fault}", "mode": "dense"})
        error = answer.json()["error"]
        assert (error["code"], error["type"]) == (code, "unavailable_error"), error
        assert answer.status_code == (504 if code == "deadline_exceeded" else 503)
        assert failed_calls() > before[0]
        job = client.ingest([{"id": fault, "text": f"a document from during {fault}"}])

        def waits() -> Job | None:
            found = client.job(job.job_id)
            assert found.status in ("pending", "running"), found
            return found if (found.error or "").startswith("waiting: ") else None

        wait_until(waits, "the job says why it waits")
        assert retries() > before[1]
        assert client.http.get("/readyz").status_code == 200
    finally:
        faulty.fault = None
    done = client.wait_job(job.job_id)
    assert (done.status, done.failed_documents, done.error) == ("completed", 0, None)
    assert client.found(f"a document from during {fault}", 1) == [fault]
    wait_until(lambda: client.health().status == "ok", "a healthy gateway")
