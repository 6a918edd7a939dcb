"""One of two replicas misbehaves under load: no search fails, no document is lost, and the pool recovers."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.faulty import FAULTS, Fault, FaultyEmbedder
from tests.support.ingesting import in_batches
from tests.support.processes import ServiceProcess
from tests.support.searching import SearchLoad
from tests.support.stack import Client, embedder_process, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

# After this time the first attempt is given up for another replica.
ENVIRONMENT = {
    "TANDEM_EMBED_ATTEMPT_SECONDS": "0.3",
    "TANDEM_BULK_TIMEOUT_SECONDS": "4",
    "TANDEM_QUERY_CACHE_SIZE": "0",
}
# Each test has a gateway of its own, since the ejection time of a replica doubles from fault to fault.
EJECTED_SECONDS = 60.0
# Faults that eject the embedder. After the other faults, calls are retried or routed elsewhere without an ejection.
EJECTED_FOR: dict[Fault, str] = {
    "refused": "unavailable",
    "unavailable": "unavailable",
    "no HTTP": "unavailable",
    "reset": "unavailable",
    "garbage": "broken",
    "wrong rows": "broken",
    "slow": "late",
    "hung": "late",
}
RETRIED_FOR: dict[Fault, str] = {
    "refused": "EmbedderUnavailable",
    "unavailable": "EmbedderUnavailable",
    "no HTTP": "EmbedderUnavailable",
    "reset": "EmbedderUnavailable",
    "garbage": "EmbedderBroken",
    "wrong rows": "EmbedderBroken",
    "slow": "DeadlineExceeded",
    "hung": "DeadlineExceeded",
    "other model": "fingerprint",
}


def serving(client: Client) -> float:
    return client.metric("tandem_gateway_embedder_replicas", {"pool": "stable", "state": "serving"})


def answered_by(client: Client, label: str) -> float:
    return client.metric("tandem_gateway_replica_call_duration_seconds_count", {"replica": label, "outcome": "ok"})


Pair = tuple[FaultyEmbedder, FaultyEmbedder, Client]


@pytest.fixture
def pair(tmp_path: Path, embedder: ServiceProcess) -> Iterator[Pair]:
    with ExitStack() as stack:
        faulty, sound = (stack.enter_context(FaultyEmbedder(service_url(embedder))) for _ in range(2))
        urls = f"{faulty.url},{sound.url}"
        process, client = gateway_process(tmp_path, tmp_path / "data", urls, env=ENVIRONMENT)
        stack.callback(client.close)
        stack.enter_context(process)
        client.ingest_and_wait([{"id": "x", "text": "a document"}])
        yield faulty, sound, client


@pytest.mark.parametrize("fault", FAULTS)
def test_one_faulty_replica_costs_no_search_and_no_document(pair: Pair, fault: Fault) -> None:
    faulty, _, client = pair
    wait_until(lambda: serving(client) == 2, "both replicas")
    ejected = {"pool": "stable", "reason": EJECTED_FOR.get(fault, "none")}
    retried = {"pool": "stable", "reason": RETRIED_FOR[fault]}
    ejections = client.metric("tandem_gateway_embedder_ejections_total", ejected)
    retries = client.metric("tandem_gateway_embedder_retries_total", retried)
    (documents,) = in_batches([f"{fault} {text}" for text in distinct_texts(64, seed=30)], 64)
    with SearchLoad(client.url) as load:
        load.go_on(20)
        faulty.fault = fault
        wait_until(lambda: client.metric("tandem_gateway_embedder_retries_total", retried) > retries, "a retry")
        if fault in EJECTED_FOR:
            wait_until(
                lambda: client.metric("tandem_gateway_embedder_ejections_total", ejected) > ejections, "an ejection"
            )
        load.go_on(20)
        job = client.ingest_and_wait(documents)
        assert (job.failed_documents, job.processed_documents) == (0, 64)
        assert client.health().status == "ok"
        faulty.fault = None
        wait_until(lambda: serving(client) == 2, "the replica takes part again", EJECTED_SECONDS)
        before = answered_by(client, faulty.label)
        wait_until(lambda: answered_by(client, faulty.label) > before, "the replica answers again")
        load.go_on(20)
    assert load.failures == []
    assert client.found(documents[7]["text"], 1) == [documents[7]["id"]]


def test_documents_are_embedded_by_both_at_the_same_time(pair: Pair) -> None:
    faulty, sound, client = pair
    before = [one.calls for one in (faulty, sound)]
    (documents,) = in_batches([f"spread {text}" for text in distinct_texts(320, seed=31)], 320)
    client.ingest_and_wait(documents)
    shares = [one.calls - calls for one, calls in zip((faulty, sound), before, strict=True)]
    assert sum(shares) >= 10
    assert min(shares) >= 3


Two = tuple[ServiceProcess, ServiceProcess, Client, ServiceProcess]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    replicas = [embedder_process(folder, model_dir, name=f"embedder-{name}") for name in "ab"]
    process, client = gateway_process(folder, folder / "data", ",".join(map(service_url, replicas)), env=ENVIRONMENT)
    try:
        for replica in replicas:
            replica.start()
        process.start()
        for one in (*replicas, process):
            one.wait_ready()
        client.ingest_and_wait([{"id": "x", "text": "a document"}])
        yield replicas[0], replicas[1], client, process
    finally:
        client.close()
        for one in (process, *replicas):
            one.kill()


def test_one_is_killed_and_started_again(two: Two) -> None:
    victim, _, client, _ = two
    wait_until(lambda: serving(client) == 2, "both replicas")
    with SearchLoad(client.url) as load:
        load.go_on(20)
        victim.kill()
        wait_until(lambda: serving(client) == 1, "one replica less")
        load.go_on(20)
        assert client.health().status == "ok"
        victim.start().wait_ready()
        wait_until(lambda: serving(client) == 2, "both replicas again")
        load.go_on(20)
    assert load.failures == []


def test_one_stopped_replica_resumes(two: Two) -> None:
    victim, _, client, _ = two
    wait_until(lambda: serving(client) == 2, "both replicas")
    with SearchLoad(client.url) as load:
        load.go_on(20)
        victim.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: serving(client) == 1, "one replica less")
            load.go_on(20)
        finally:
            victim.signal(signal.SIGCONT)
        wait_until(lambda: serving(client) == 2, "both replicas again")
        load.go_on(20)
    assert load.failures == []


def test_one_ends_by_sigterm_as_in_a_rolling_update(two: Two) -> None:
    victim, _, client, _ = two
    wait_until(lambda: serving(client) == 2, "both replicas")
    with SearchLoad(client.url) as load:
        job = client.ingest(in_batches(distinct_texts(300, seed=32), 300)[0])
        load.go_on(20)
        assert victim.terminate() == 0
        wait_until(lambda: serving(client) == 1, "one replica less")
        load.go_on(20)
        victim.start().wait_ready()
        wait_until(lambda: serving(client) == 2, "both replicas again")
        done = client.wait_job(job.job_id)
    assert load.failures == []
    assert (done.processed_documents, done.failed_documents) == (300, 0)
