"""Data directories of real gateways, to be damaged, with the answers that the gateways gave."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.support.damage import DATABASE, Question, answers, copy_of
from tests.support.ingesting import in_batches
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

SMALL_GRAPHS = {"TANDEM_EXACT_BELOW": "10"}
"""A threshold so low that a few documents get a graph."""
RESTLESS = {"TANDEM_SNAPSHOT_CHANGES": "1", "TANDEM_SNAPSHOT_SECONDS": "0.1", **SMALL_GRAPHS}
"""Settings that take a snapshot after every change."""
COLLECTIONS = ("default", "second")


@dataclass(frozen=True)
class Sample:
    """Data of a stopped gateway, and its answers."""

    data_dir: Path
    questions: list[Question]
    answers: list[Any]
    texts: list[str]
    """Each question is the text of one document, which is in both collections."""


@dataclass(frozen=True)
class Samples:
    """The same store after a clean stop, and after a kill that left commits only in the write-ahead log."""

    stopped: Sample
    killed: Sample


def make_samples(folder: Path, embedder: ServiceProcess) -> Samples:
    """Return ``Samples``, made with real processes."""
    texts = distinct_texts(60, seed=3)
    data_dir = folder / "data"
    restless, client = gateway_process(folder, data_dir, service_url(embedder), env=RESTLESS)
    with restless:
        _fill(client, texts)
        wait_until(lambda: _snapshots_are_up_to_date(data_dir), "snapshots of both collections")
    client.close()
    process, client = gateway_process(folder, data_dir, service_url(embedder), env=SMALL_GRAPHS)
    with process:  # takes no more snapshots: the next start has to catch up
        _replace_some(client, texts)
    stopped = _sample(copy_of(data_dir, folder / "stopped"), folder, _questions(embedder, texts), texts)
    process.start().wait_ready()
    later = distinct_texts(20, seed=4)
    for collection in COLLECTIONS:
        client.ingest_and_wait([{"id": f"later-{n}", "text": text} for n, text in enumerate(later)], collection)
        assert client.http.delete(f"/v1/collections/{collection}/documents/doc-20").json() == {"deleted": True}
    process.kill()
    client.close()
    left = copy_of(data_dir, folder / "killed")
    assert (left / f"{DATABASE}-wal").stat().st_size > 0
    return Samples(stopped, _sample(left, folder, _questions(embedder, texts + later), texts + later))


def _fill(client: Client, texts: list[str]) -> None:
    (documents,) = in_batches(texts, len(texts))
    for collection in COLLECTIONS:
        client.ingest_and_wait(documents, collection)
        assert client.http.delete(f"/v1/collections/{collection}/documents/doc-59").json() == {"deleted": True}


def _replace_some(client: Client, texts: list[str]) -> None:
    for collection in COLLECTIONS:
        client.ingest_and_wait([{"id": f"doc-{n}", "text": f"Again: {texts[n]}"} for n in range(10)], collection)
        assert client.http.delete(f"/v1/collections/{collection}/documents/doc-10").json() == {"deleted": True}


def _snapshots_are_up_to_date(data_dir: Path) -> bool:
    connection = sqlite3.connect(f"{(data_dir / DATABASE).as_uri()}?mode=ro", uri=True)
    try:
        # The store records up to which change a collection's snapshot covers its removals.
        (removals,) = connection.execute(
            "SELECT count(*) FROM removals JOIN followers USING (collection_id) "
            "WHERE follower LIKE 'space %' AND change > position"
        ).fetchone()
    finally:
        connection.close()
    return removals == 0 and len(list((data_dir / "index").glob("*/manifest.json"))) == len(COLLECTIONS)


def _questions(embedder: ServiceProcess, texts: list[str]) -> list[Question]:
    chosen = texts[::4]
    reply = httpx.post(f"{service_url(embedder)}/embed", json={"texts": chosen, "kind": "query"}, trust_env=False)
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    return [
        Question(collection, vector, answer["fingerprint"])
        for collection in COLLECTIONS
        for vector in answer["embeddings"]
    ]


def _sample(data_dir: Path, folder: Path, questions: list[Question], texts: list[str]) -> Sample:
    expected, _ = answers(copy_of(data_dir, folder / "asked"), questions)
    assert all(len(hits) == 10 for hits in expected)
    return Sample(data_dir, questions, expected, texts)
