"""Gateways share snapshots: one builds and publishes, the others load, and another one takes its place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sharing import Start, shared_store, snapshot_sharers
from tests.support.stack import Client, wait_until
from tests.support.texts import distinct_texts


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a gateway with an own data directory, over the store and the folder that all of them share."""
    with shared_store() as url, snapshot_sharers(tmp_path, url) as start_one:
        yield start_one


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
