"""Three gateways share a store in PostgreSQL, and every 250 ms one that is ready is killed, for a minute under load.

``make chaos-shared`` runs it. A killed gateway starts again at once and needs about a second of a core, so that often
all three are down. Nothing acknowledged is lost, jobs are exact, and each search that fails is answered as soon as a
gateway is up.
"""

import itertools
import os
import random
import time
from pathlib import Path
from typing import Final

import httpx2 as httpx
import pytest

from tests.chaos.test_shared_store import (
    BATCH,
    GATEWAYS,
    Balanced,
    Gateways,
    Searcher,
    gateways,
    server,
)
from tests.support.ingesting import RetryingClients, assert_all_found_once, in_batches
from tests.support.stack import Client
from tests.support.texts import distinct_texts

__all__ = ["gateways", "server"]

SECONDS: Final = float(os.environ.get("TANDEM_CHAOS_SECONDS", "60"))
EVERY_SECONDS: Final = 0.25

pytestmark = pytest.mark.timeout(900)


def is_ready(client: Client) -> bool:
    """Return whether a gateway takes requests now."""
    try:
        return client.http.get("/readyz", timeout=0.2).status_code == 200
    except httpx.TransportError:
        return False


def test_a_gateway_is_killed_every_250_ms(gateways: Gateways, tmp_path: Path):
    clients = [client for _, client in gateways]
    ticks = round(SECONDS / EVERY_SECONDS)
    kills = 0
    batches = in_batches(distinct_texts(ticks * BATCH), BATCH)
    documents = list(itertools.chain.from_iterable(batches))
    draw = random.Random(40)
    searcher = Searcher(clients, patience=60.0)
    searcher.start()
    started = time.monotonic()
    with RetryingClients(Balanced(clients, 41), batches, allowed=0) as writers:  # type: ignore[arg-type]
        while (passed := time.monotonic() - started) < SECONDS:
            tick = int(passed / EVERY_SECONDS) + 1
            writers.allow(tick)
            time.sleep(max(0.0, started + tick * EVERY_SECONDS - time.monotonic()))  # the pace of the kills
            ready = [process for process, client in gateways if is_ready(client)]
            if ready:
                process = draw.choice(ready)
                process.kill()
                process.start()
                kills += 1
        writers.allow(ticks)
        lasted = time.monotonic() - started
        acknowledged_under_fire = len(writers.acknowledged)
        for process, _ in gateways:
            process.wait_ready()
        writers.join()
    searcher.stop()
    jobs = [clients[number % GATEWAYS].wait_job(job_id) for number, job_id in enumerate(writers.acknowledged)]
    searches = f"{searcher.searches} searches, {searcher.repeated} repeated, {searcher.again} of them more than once"
    print(f"{kills} kills in {lasted:.0f} s; {acknowledged_under_fire} of {len(batches)} batches meanwhile; {searches}")

    assert len(jobs) == len(batches)
    assert {(job.status, job.processed_documents) for job in jobs} == {("completed", BATCH)}
    assert acknowledged_under_fire > 0
    assert searcher.failed == []
    for client in clients:
        health = client.health()
        assert (health.document_count, health.pending_documents) == (len(documents), 0)
        assert_all_found_once(client, documents)
