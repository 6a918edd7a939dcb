"""Clients that ingest while services die, and the proof that no document was lost or duplicated."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx

from tandem_tools.readiness import POLL_SECONDS
from tests.support.stack import Client, Document

CLIENTS = 3


def in_batches(texts: list[str], size: int) -> list[list[Document]]:
    """Return documents with unique ids, in batches for one ingest each."""
    documents = [{"id": f"doc-{number}", "text": text, "metadata": {"n": number}} for number, text in enumerate(texts)]
    return [documents[start : start + size] for start in range(0, len(documents), size)]


class RetryingClients:
    """Ingest batches, several at a time. Send an unacknowledged batch again, with the same ids.

    ``allow(n)`` lets the clients continue to the n-th batch, so that a test can spread the batches over its kills.
    """

    def __init__(self, client: Client, batches: list[list[Document]], *, allowed: int | None = None) -> None:
        self._client = client
        self._batches = batches
        self._next = 0
        self._allowed = len(batches) if allowed is None else allowed
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self.acknowledged: list[str] = []
        """Ids of the jobs that got 202."""
        self.attempts = 0

    def allow(self, batches: int) -> None:
        """Allow the clients to send the first ``count`` batches."""
        with self._changed:
            self._allowed = max(self._allowed, batches)
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until every batch is acknowledged; raises a client's error."""
        for running in self._running:
            running.result()

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._work) for _ in range(CLIENTS)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self.allow(len(self._batches))
        self._pool.shutdown()

    def _work(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                number = self._next
                if number == len(self._batches):
                    return
                self._next += 1
                self._changed.wait_for(lambda number=number: number < self._allowed)
            self._send(self._batches[number])

    def _send(self, batch: list[Document]) -> None:
        while not self._stopped.is_set():
            with self._changed:
                self.attempts += 1
            try:
                answer = self._client.http.post("/v1/ingest", json={"documents": batch})
            except httpx.TransportError:
                self._stopped.wait(POLL_SECONDS)
                continue
            if answer.status_code == 202:
                with self._changed:
                    self.acknowledged.append(answer.json()["job_id"])
                return
            assert answer.status_code == 503, answer.text
            self._stopped.wait(POLL_SECONDS)


def assert_all_found_once(client: Client, documents: list[Document]) -> None:
    """Search for every document by its own text: it is the first hit, unchanged and only once."""

    def look(document: Document) -> None:
        hits = client.search(document["text"], 5, mode="dense").results
        assert {key: getattr(hits[0], key) for key in ("id", "text", "metadata")} == document, (document, hits)
        assert hits[0].score > 0.9999, hits[0]
        assert [hit.id for hit in hits].count(document["id"]) == 1, hits

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(look, documents))


def assert_stored_once(data_dir: Path, documents: list[Document]) -> None:
    """Read the database of a stopped gateway: one row per document, each live with one vector, and none that waits."""

    def rows(statement: str) -> list[Any]:
        return connection.execute(statement).fetchall()

    connection = sqlite3.connect(f"{(data_dir / 'tandem.sqlite3').as_uri()}?mode=ro", uri=True)
    try:
        stored = rows("SELECT doc_id, text FROM documents ORDER BY doc_id")
        assert stored == sorted((document["id"], document["text"]) for document in documents)
        assert rows("SELECT count(*) FROM documents WHERE live = 0") == [(0,)]
        found = "SELECT document_id FROM passages JOIN vectors USING (passage_id) WHERE change NOT NULL ORDER BY 1"
        assert rows(found) == rows("SELECT document_id FROM documents ORDER BY 1")
        assert rows("SELECT count(*) FROM passages") == rows("SELECT count(*) FROM vectors") == [(len(documents),)]
        assert rows("SELECT count(*) FROM waiting") == [(0,)]
        assert rows("SELECT count(*) FROM jobs WHERE finished_at IS NULL OR processed <> total OR failed > 0") == [(0,)]
    finally:
        connection.close()
