"""Gateways share snapshots: one builds and publishes, the others load, and another one takes its place."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, wait_until
from tests.support.texts import distinct_texts

Start = Callable[[str], tuple[ServiceProcess, Client]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a gateway with an own data directory, over the store and the folder that all of them share."""
    (tmp_path / "shared").mkdir()
    url = postgres.databases().take_url()
    with ExitStack() as opened:
        embedder = opened.enter_context(HttpFakeEmbedder())
        environment = {
            "TANDEM_STORE_URL": url,
            "TANDEM_SNAPSHOT_URL": (tmp_path / "shared").as_uri(),
            "TANDEM_EXACT_BELOW": "20",
            "TANDEM_SNAPSHOT_CHANGES": "20",
            "TANDEM_SNAPSHOT_SECONDS": "1",
            "TANDEM_SNAPSHOT_PUBLISH_SECONDS": "1",
        }

        def start_one(name: str) -> tuple[ServiceProcess, Client]:
            process, client = gateway_process(tmp_path, tmp_path / name, embedder.url, name=name, env=environment)
            opened.callback(client.close)
            opened.enter_context(process)
            wait_until(lambda: client.health().model_loaded, "the gateway sees the embedder")
            return process, client

        yield start_one
    postgres.databases().give_back(url)


def outcomes(client: Client, outcome: str) -> float:
    return client.metric("tandem_gateway_shared_snapshots_total", {"outcome": outcome})


def builds(client: Client) -> bool:
    return client.metric("tandem_gateway_snapshot_builder") == 1


def exact(client: Client) -> float:
    return client.metric("tandem_gateway_index_vectors", {"part": "exact"})


def test_one_gateway_builds_and_the_others_load(start: Start, tmp_path: Path):
    texts = distinct_texts(110)
    documents = [{"id": f"d{number}", "text": text} for number, text in enumerate(texts)]
    builder, one = start("one")
    one.ingest_and_wait(documents[:60])
    wait_until(lambda: outcomes(one, "published") >= 1, "the builder publishes")
    assert builds(one)

    _, two = start("two")
    assert outcomes(two, "loaded") == 1
    assert [two.found(texts[number], 1) for number in (0, 59)] == [["d0"], ["d59"]]

    # What is new is found at once, and leaves the exact part of a gateway that does not build.
    two.ingest_and_wait(documents[60:100])
    two.delete_document("d0")
    assert [two.found(texts[number], 1) for number in (61, 99)] == [["d61"], ["d99"]]
    wait_until(lambda: outcomes(two, "loaded") >= 2 and exact(two) == 0, "the newer snapshot is taken over")
    assert two.metric("tandem_gateway_snapshots_total", {"outcome": "saved"}) == 0
    assert not builds(two)
    assert [client.found(texts[0], 110).count("d0") for client in (one, two)] == [0, 0]

    # The builder stops, and the other one takes its place.
    assert builder.terminate() == 0
    wait_until(lambda: builds(two), "the other gateway builds")
    two.ingest_and_wait(documents[100:])
    assert sorted(two.found(texts[5], 110)) == sorted(f"d{number}" for number in range(1, 110))
    assert [outcomes(two, bad) for bad in ("refused", "failed", "built_alone")] == [0, 0, 0]
    # Old files stay for a time only: no space has more than four snapshots.
    assert len({path.parent for path in (tmp_path / "shared").rglob("*.npz")}) <= 4
