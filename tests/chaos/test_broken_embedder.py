"""The embedder dies, hangs or is absent: the gateway stays up, reports it, and recovers when the embedder is back."""

import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from tandem_contract.client_api import Job
from tests.support.ingesting import assert_all_found_once, assert_stored_once, in_batches
from tests.support.maintenance import assert_sound
from tests.support.models import under_another_fingerprint
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, Stack, wait_until
from tests.support.texts import distinct_texts

KILLS = 4
SEARCH_SECONDS = 2.0


@pytest.fixture
def stack(tmp_path: Path, model_dir: Path) -> Iterator[Stack]:
    environment = {"TANDEM_SEARCH_TIMEOUT_SECONDS": str(SEARCH_SECONDS), "TANDEM_BULK_TIMEOUT_SECONDS": "5"}
    # One thread: slow enough that the work outlasts the faults of the test.
    slow = {"TANDEM_THREADS": "1"}
    with Stack(tmp_path, model_dir, gateway_env=environment, embedder_env=slow) as stack:
        yield stack


def search(client: Client, text: str = "anything", mode: str = "dense", **headers: str) -> httpx.Response:
    """Search; fail the test if there is no answer long after the deadline."""
    body = {"query": text, "mode": mode}
    return client.http.post("/v1/search", json=body, headers=headers, timeout=10 * SEARCH_SECONDS)


def found_by_words(client: Client, text: str, *, degraded: bool = True, **headers: str) -> list[str]:
    """Search with the default mode, check that keyword search answered, and return the ids."""
    answer = search(client, text, "auto", **headers)
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert (reply["mode"], reply["degraded"]) == ("lexical", degraded)
    assert all(hit["score"] > 0 for hit in reply["results"])
    return [hit["id"] for hit in reply["results"]]


def assert_unavailable(answer: httpx.Response, codes: tuple[str, ...] = ("embedder_unavailable",)) -> None:
    error = answer.json()["error"]
    assert error["code"] in codes, error
    assert error["type"] == "unavailable_error"
    assert answer.status_code == (504 if error["code"] == "deadline_exceeded" else 503)
    if answer.status_code == 503:
        assert 1 <= int(answer.headers["retry-after"]) <= 120


def degraded(client: Client) -> bool:
    health = client.health()
    return (health.status, health.model_loaded) == ("degraded", False)


def test_kills_during_an_ingest_of_500_documents(stack: Stack) -> None:
    client = stack.client
    short = distinct_texts(500, seed=8)
    # The work must outlast the kills; the first words make each text unique.
    filler = " ".join(distinct_texts(12, seed=9))
    (documents,) = in_batches([f"{text} {filler}" for text in short], 500)
    job_id = client.ingest(documents).job_id
    gateway = stack.gateway.pid
    draw = random.Random(22)
    done = 0
    for _ in range(KILLS):
        more = done + draw.randint(10, 60)
        wait_until(lambda more=more: client.job(job_id).processed_documents >= more, "progress")
        stack.embedder.kill()
        waiting = wait_until(lambda: waits(client, job_id), "the job says why it waits")
        assert "embedder" in waiting.error
        done = waiting.processed_documents
        assert done < 500
        wait_until(lambda: degraded(client), "a degraded gateway")
        assert_unavailable(search(client))
        stack.embedder.start().wait_ready()
    job = client.wait_job(job_id)
    assert (job.status, job.processed_documents, job.failed_documents) == ("completed", 500, 0)
    assert job.error is None
    assert stack.gateway.pid == gateway
    assert stack.gateway.is_running()
    assert client.health().document_count == 500
    assert_all_found_once(client, documents[::10])
    assert stack.gateway.terminate() == 0
    assert_stored_once(stack.data_dir, documents)
    assert_sound(stack.data_dir)


def waits(client: Client, job_id: str) -> Job | None:
    job = client.job(job_id)
    assert job.status in ("pending", "running"), job
    return job if (job.error or "").startswith("waiting: ") else None


def test_without_an_embedder_ingest_is_accepted_and_search_goes_by_words(stack: Stack) -> None:
    client = stack.client
    client.ingest_and_wait([{"id": "before", "text": "a document from before"}])
    assert search(client, "at first", "auto").json()["mode"] == "hybrid"
    stack.embedder.kill()
    for _ in range(10):
        assert found_by_words(client, "which documents were there before?") == ["before"]
    assert client.metric("tandem_gateway_degraded_searches_total") == 10
    assert client.metric("tandem_gateway_searches_total", {"mode": "lexical"}) == 10
    wait_until(lambda: degraded(client), "a degraded gateway")
    assert client.metric("tandem_gateway_embedder_up") == 0
    assert_unavailable(search(client))
    assert_unavailable(search(client, **{"x-request-timeout-ms": "300"}), ("embedder_unavailable", "deadline_exceeded"))
    job = client.ingest([{"id": "meanwhile", "text": "a document from meanwhile"}])
    wait_until(lambda: waits(client, job.job_id), "the job says why it waits")
    assert client.http.get("/v1/collections/default/documents/meanwhile").json()["embedded"] is False
    assert client.http.get("/readyz").status_code == 200
    assert (client.health().document_count, client.health().pending_documents) == (1, 1)
    assert found_by_words(client, "meanwhile") == ["meanwhile"]

    # Pending documents are on disk: even a killed gateway does not lose them.
    stack.gateway.kill()
    stack.gateway.start().wait_ready()
    assert found_by_words(client, "meanwhile") == ["meanwhile"]
    stack.embedder.start().wait_ready()
    assert client.wait_job(job.job_id).status == "completed"
    wait_until(lambda: search(client, "hybrid again", "auto").json()["mode"] == "hybrid", "hybrid search again")
    assert client.found("a document from meanwhile", 1) == ["meanwhile"]
    wait_until(lambda: client.health().status == "ok", "a healthy gateway")
    assert client.metric("tandem_gateway_embedder_up") == 1


def test_a_gateway_started_without_an_embedder(stack: Stack) -> None:
    stack.embedder.kill()
    stack.gateway.terminate()
    stack.gateway.start().wait_ready()
    assert degraded(stack.client)
    assert_unavailable(search(stack.client))
    job = stack.client.ingest([{"id": "x", "text": "early"}])
    stack.embedder.start().wait_ready()
    assert stack.client.wait_job(job.job_id).status == "completed"


def test_a_hung_embedder_keeps_no_search_beyond_its_deadline(stack: Stack) -> None:
    client = stack.client
    client.ingest_and_wait([{"id": "x", "text": "a patient document"}])
    stack.embedder.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(30) as threads:
            answers = list(threads.map(lambda n: search(client, f"query {n}"), range(60)))
        for answer in answers:
            assert_unavailable(answer, ("embedder_unavailable", "deadline_exceeded"))
        short = search(client, **{"x-request-timeout-ms": "100"})
        assert_unavailable(short, ("embedder_unavailable", "deadline_exceeded"))
        with ThreadPoolExecutor(30) as threads:
            found = list(threads.map(lambda n: found_by_words(client, f"patient {n}"), range(60)))
        assert found == [["x"]] * 60
        # By now the gateway knows that the embedder is down: a search with little time does not wait for it either.
        assert found_by_words(client, "patient", **{"x-request-timeout-ms": "300"}) == ["x"]
        job = client.ingest([{"id": "y", "text": "a document for later"}])
        wait_until(lambda: degraded(client), "a degraded gateway")
        assert client.http.get("/livez").status_code == 200
        wait_until(lambda: waits(client, job.job_id), "the job says why it waits")
    finally:
        stack.embedder.signal(signal.SIGCONT)
    assert client.wait_job(job.job_id).status == "completed"
    wait_until(lambda: client.health().status == "ok", "a healthy gateway")
    wait_until(lambda: search(client, "for later").status_code == 200, "searches again")
    assert client.found("a document for later", 1) == ["y"]


@pytest.fixture
def other_model(stack: Stack, model_dir: Path, tmp_path: Path) -> ServiceProcess:
    """An embedder with another fingerprint, to replace the stack's own."""
    own = stack.embedder
    return ServiceProcess(
        own.module,
        env={**own.env, "TANDEM_MODEL_DIR": str(under_another_fingerprint(model_dir, tmp_path / "other"))},
        ready_url=own.ready_url,
        log_path=own.log_path.with_name("other.log"),
    )


def test_vectors_of_another_model_are_refused(stack: Stack, other_model: ServiceProcess) -> None:
    client = stack.client
    client.ingest_and_wait([{"id": "x", "text": "a document of the first model"}])
    pinned = client.health().fingerprint
    assert client.metric("tandem_gateway_fingerprint_mismatches_total") == 0
    assert stack.embedder.terminate() == 0
    with other_model:
        answer = wait_until(lambda: reached(search(client)), "an answer")
        assert_unavailable(answer, ("fingerprint_mismatch",))
        assert_unavailable(search(client, mode="auto"), ("fingerprint_mismatch",))
        message = answer.json()["error"]["message"]
        assert pinned in message
        assert "point TANDEM_EMBEDDER_URL at an embedder of the first, use another collection, or delete" in message
        assert client.metric("tandem_gateway_fingerprint_mismatches_total") == 2
        job = client.ingest([{"id": "y", "text": "a document that waits for the first model"}])
        waiting = wait_until(lambda: waits(client, job.job_id), "the job says why it waits")
        assert pinned in (waiting.error or "")
        assert client.metric("tandem_gateway_fingerprint_mismatches_total") > 2
        # The blocked collection does not block another one, which gets the new model.
        client.ingest_and_wait([{"id": "z", "text": "a document of the second model"}], "second")
        assert client.found("the second model", 1, "second") == ["z"]
        other = [
            entry for entry in client.http.get("/v1/collections").json()["collections"] if entry["name"] == "second"
        ]
        assert other[0]["fingerprint"] != pinned
    stack.embedder.start().wait_ready()
    assert client.wait_job(job.job_id).status == "completed"
    assert sorted(client.found("a document of the first model")) == ["x", "y"]
    # The gateway has not cached this query's vector by the second model; it has cached that of "anything".
    refused = client.http.post("/v1/search", json={"query": "not asked before", "collection": "second"})
    assert_unavailable(refused, ("fingerprint_mismatch",))
    kept = client.http.post("/v1/search", json={"query": "anything", "collection": "second"})
    assert [hit["id"] for hit in kept.json()["results"]] == ["z"]


def reached(answer: httpx.Response) -> httpx.Response | None:
    """Return an answer once the gateway has found the embedder that has just started."""
    unavailable = answer.status_code == 503 and answer.json()["error"]["code"] == "embedder_unavailable"
    return None if unavailable else answer
