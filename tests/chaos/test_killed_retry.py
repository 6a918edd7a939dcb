"""SIGKILL ends the gateway again and again while failed documents are retried: none is lost or embedded twice."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from tandem_contract.embed import EmbedRequest
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.ingesting import assert_stored_once, in_batches
from tests.support.maintenance import assert_sound
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, wait_until
from tests.support.texts import distinct_texts

KILLS = 8
DOCUMENTS = 240
BAD_EACH = 3
"""The embedder refuses each third document at first."""
FAILED = DOCUMENTS // BAD_EACH


class Gate:
    """Decides about the calls of an embedder: refuses texts, and lets only so many calls pass."""

    def __init__(self) -> None:
        self.refused: frozenset[str] = frozenset()
        self.passed: list[str] = []
        """Texts that passed, in order."""
        self._changed = threading.Condition()
        self._allowed: float = 0

    def allow(self, more: float) -> None:
        """Let more calls pass."""
        with self._changed:
            self._allowed += more
            self._changed.notify_all()

    def used_up(self) -> bool:
        """Return whether no more calls pass."""
        with self._changed:
            return self._allowed == 0

    def begin_again(self) -> None:
        """Refuse no text, let no call pass, and forget the texts that passed."""
        with self._changed:
            self.refused, self.passed, self._allowed = frozenset(), [], 0

    def accepts(self, request: EmbedRequest) -> bool:
        """Wait for the permission; see ``HttpFakeEmbedder``."""
        with self._changed:
            self._changed.wait_for(lambda: self._allowed > 0)
            self._allowed -= 1
            if not self.refused.isdisjoint(request.texts):
                return False
            self.passed += request.texts
            return True


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.allow(float("inf"))  # no call waits for ever


@pytest.fixture
def gateway(tmp_path: Path, gate: Gate) -> Iterator[tuple[ServiceProcess, Client]]:
    # Small batches, so that there are many moments between two commits.
    environment = {"TANDEM_BULK_BATCH_SIZE": "2", "TANDEM_BULK_CALLS_IN_FLIGHT": "2"}
    with HttpFakeEmbedder(accepts=gate.accepts) as embedder:
        process, client = gateway_process(tmp_path, tmp_path / "data", embedder.url, env=environment)
        try:
            yield process, client
        finally:
            client.close()
            process.close()


def test_kills_during_the_retry_of_failed_documents(
    gateway: tuple[ServiceProcess, Client], gate: Gate, tmp_path: Path
) -> None:
    process, client = gateway
    process.start().wait_ready()
    batches = in_batches(distinct_texts(DOCUMENTS, seed=5), DOCUMENTS // 2)
    documents = [document for batch in batches for document in batch]
    bad = frozenset(document["text"] for document in documents[::BAD_EACH])
    gate.refused = bad
    jobs = [client.ingest(batch).job_id for batch in batches]
    # Both jobs wait for these versions, one of which the embedder will refuse.
    jobs.append(client.ingest(documents[DOCUMENTS // 2 - 3 : DOCUMENTS // 2 + 3]).job_id)
    expected = [FAILED // 2, FAILED // 2, 2]
    gate.allow(float("inf"))
    for job_id, failed in zip(jobs, expected, strict=True):
        ended = client.wait_job(job_id)
        assert ended.failed_documents == failed, ended
    assert client.health().document_count == DOCUMENTS - FAILED
    process.kill()

    gate.begin_again()
    draw = random.Random(31)
    done = dict.fromkeys(jobs, 0)
    acknowledged: set[str] = set()
    with ThreadPoolExecutor(len(jobs)) as threads:
        for kill in range(KILLS):
            process.start().wait_ready()
            for job_id, total in zip(jobs, totals(client, jobs), strict=True):
                job = client.job(job_id)
                # Nothing that was committed is lost, and nothing counts twice.
                assert done[job_id] <= job.processed_documents <= total
                # Before its retry, a job counts its failed documents as processed.
                done[job_id] = job.processed_documents if job.retried_at else 0
                if job_id in acknowledged:
                    assert job.retried_at is not None
            sent = {job_id: threads.submit(retry, client, job_id) for job_id in jobs}
            gate.allow(draw.randint(0, 6))
            if kill % 2 and acknowledged:
                wait_until(gate.used_up, "calls for the documents that wait again")
            time.sleep(draw.uniform(0, 0.05))  # a random delay, not synchronisation
            process.kill()
            acknowledged |= {job_id for job_id, reply in sent.items() if reply.result()}
        process.start().wait_ready()
        assert 0 < client.health().document_count - (DOCUMENTS - FAILED) < FAILED  # the kills came during the retries
        gate.allow(float("inf"))
        for job_id in jobs:
            wait_until(lambda job_id=job_id: retried(client, job_id), f"the retry of {job_id}")
    for job_id, total in zip(jobs, totals(client, jobs), strict=True):
        job = client.wait_job(job_id)
        assert (job.status, job.processed_documents, job.failed_documents) == ("completed", total, 0), job
        assert job.failures == []
        assert job.error is None
        listed = client.http.get(f"/v1/jobs/{job_id}/documents", params={"limit": 1000}).json()["documents"]
        assert [each["status"] for each in listed if each["status"] not in ("embedded", "unchanged")] == []
        assert len(listed) == total
    assert set(gate.passed) == bad  # the retries embedded the failed documents, and only these
    health = client.health()
    assert (health.document_count, health.pending_documents) == (DOCUMENTS, 0)
    for document in documents:
        assert client.document(document["id"]).text == document["text"]
    assert process.terminate() == 0
    assert_stored_once(tmp_path / "data", documents)
    assert_sound(tmp_path / "data")


def totals(client: Client, jobs: list[str]) -> list[int]:
    return [client.job(job_id).total_documents for job_id in jobs]


def retry(client: Client, job_id: str) -> bool:
    """Retry a job; return whether a gateway that is killed meanwhile has acknowledged it."""
    try:
        reply = client.http.post(f"/v1/jobs/{job_id}/retry")
    except httpx.TransportError:
        return False
    assert reply.status_code in (202, 409, 503), reply.text  # 409: the retry before has happened
    return reply.status_code == 202


def retried(client: Client, job_id: str) -> bool:
    """Retry a job until it runs again or has ended without failures; return whether it has."""
    job = client.job(job_id)
    if not job.failed_documents:
        return True
    return retry(client, job_id) and client.job(job_id).failed_documents == 0
