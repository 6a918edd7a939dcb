"""Three gateways share a store in PostgreSQL. Some are killed or frozen under load, and the database crashes.

Nothing acknowledged is lost, jobs are exact, and no search fails that a client repeats once. ``make chaos-shared`` runs
it for longer.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest

from tandem_gateway.adapters.postgres.migrations import migrate
from tandem_tools.readiness import POLL_SECONDS
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.ingesting import RetryingClients, assert_all_found_once, in_batches
from tests.support.postgres import PostgresServer
from tests.support.postgres_check import find_damage
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, wait_until
from tests.support.texts import distinct_texts

GATEWAYS: Final = 3
KILLS: Final = int(os.environ.get("TANDEM_CHAOS_KILLS", "4"))
CRASHES: Final = 1 + KILLS // 40
BATCH: Final = 25
BATCHES_A_KILL: Final = 3

pytestmark = pytest.mark.timeout(900)

Gateways = list[tuple[ServiceProcess, Client]]


class Balanced:
    """Sends each request to one of the gateways, drawn at random; has what ``RetryingClients`` uses of a client."""

    def __init__(self, clients: list[Client], seed: int) -> None:
        self._clients = clients
        self._draw = random.Random(seed)
        self.http = self

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self._draw.choice(self._clients).http.post(path, **request)


class Searcher(threading.Thread):
    """Searches until it is stopped; repeats a search that failed once, at another gateway, after a short wait."""

    def __init__(self, clients: list[Client], patience: float = 10.0) -> None:
        """Make it; a search that failed is repeated for so many seconds before it counts as failed."""
        super().__init__(daemon=True)
        self._patience = patience
        self._clients = clients
        self._draw = random.Random(5)
        self._stopped = threading.Event()
        self.searches = self.repeated = self.again = 0
        self.failed: list[str] = []

    def run(self) -> None:
        while not self._stopped.is_set():
            first, second = self._draw.sample(range(len(self._clients)), 2)
            told = self._search(first)
            if told is not None:
                self.repeated += 1
                until = (
                    time.monotonic() + self._patience
                )  # a crash of the database, or of both gateways, lasts for a while
                while (told := self._search(second)) is not None and time.monotonic() < until:
                    self.again += 1
                    self._stopped.wait(POLL_SECONDS)
                    second = (second + 1) % len(self._clients)
                if told is not None:
                    self.failed.append(told)
            self.searches += 1

    def _search(self, number: int) -> str | None:
        try:
            reply = self._clients[number].http.post("/v1/search", json={"query": "a text"}, timeout=10)
        except httpx.TransportError as error:
            return repr(error)
        return None if reply.status_code == 200 else reply.text

    def stop(self) -> None:
        self._stopped.set()
        self.join()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server whose commits are on disk: the test crashes it."""
    made = PostgresServer("fsync=on", "full_page_writes=on")
    yield made
    made.remove()


@pytest.fixture
def gateways(tmp_path: Path, server: PostgresServer) -> Iterator[Gateways]:
    url = server.new_database_url()
    migrate(url)
    with ExitStack() as opened:
        embedder = opened.enter_context(HttpFakeEmbedder())
        made = []
        for number in range(GATEWAYS):
            name = f"gateway{number}"
            process, client = gateway_process(
                tmp_path, tmp_path / name, embedder.url, name=name, env={"TANDEM_STORE_URL": url}
            )
            opened.callback(client.close)
            opened.callback(process.close)
            process.start()
            made.append((process, client))
        for process, client in made:
            process.wait_ready()
            wait_until(lambda client=client: client.health().model_loaded, "the gateway sees the embedder")
        yield made
    assert find_damage(url) == []


def test_gateways_and_the_database_die_under_load(gateways: Gateways, server: PostgresServer):
    clients = [client for _, client in gateways]
    batches = in_batches(distinct_texts(KILLS * BATCHES_A_KILL * BATCH), BATCH)
    documents = [document for batch in batches for document in batch]
    draw = random.Random(30)
    crashes = set(range(KILLS // 2, KILLS, max(1, KILLS // CRASHES)))
    searcher = Searcher(clients)
    searcher.start()
    with RetryingClients(Balanced(clients, 31), batches, allowed=BATCHES_A_KILL) as writers:  # type: ignore[arg-type]
        for kill in range(KILLS):
            process, client = gateways[draw.randrange(GATEWAYS)]
            writers.allow((kill + 1) * BATCHES_A_KILL)
            time.sleep(draw.uniform(0, 0.5))  # a random delay, not synchronisation
            process.kill()
            frozen, _ = gateways[draw.randrange(GATEWAYS)]
            if frozen is not process and draw.random() < 0.5:
                os.kill(frozen.pid, signal.SIGSTOP)
                time.sleep(draw.uniform(0, 1.0))  # as above
                os.kill(frozen.pid, signal.SIGCONT)
            if kill in crashes:
                server.stop()
                server.start()
            process.start().wait_ready()
        writers.join()
    searcher.stop()
    jobs = [clients[number % GATEWAYS].wait_job(job_id) for number, job_id in enumerate(writers.acknowledged)]

    assert len(jobs) == len(batches)
    assert {(job.status, job.processed_documents) for job in jobs} == {("completed", BATCH)}
    assert searcher.failed == []
    assert searcher.searches > searcher.repeated
    for client in clients:
        health = client.health()
        assert (health.document_count, health.pending_documents) == (len(documents), 0)
        assert_all_found_once(client, documents)
