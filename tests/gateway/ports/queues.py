"""The embedding queues that the conformance tests run over, each with a clock that the test moves."""

from pathlib import Path
from typing import Protocol

from tandem_gateway.adapters.memory.embedding_queue import MemoryEmbeddingQueue
from tandem_gateway.adapters.sqlite.embedding_queue import SqliteEmbeddingQueue
from tandem_gateway.adapters.sqlite.writes import Limits
from tandem_gateway.ports.embedding_queue import EmbeddingQueue
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch
from tests.support.fakes import FINGERPRINT, MODEL, vectors_of
from tests.support.stores import NOW, document, open_store

BATCH_BYTES = 100
LEASE_SECONDS = 10.0


class Subject(Protocol):
    """A queue under test, and what a test does to it that is not in the port."""

    queue: EmbeddingQueue
    now: float
    """The queue's clock, in seconds."""

    async def add(self, collection: str, *texts: str) -> None:
        """Add documents with these texts, which no other document has."""
        ...

    async def delete(self, collection: str, text: str) -> None:
        """Delete the pending document with this text."""
        ...

    async def embedded(self, collection: str, text: str) -> bool:
        """Return whether the document with this text has its vector."""
        ...

    async def failed(self, collection: str) -> int:
        """Return how many of a collection's documents failed."""
        ...

    def close(self) -> None: ...


class InMemory:
    """``MemoryEmbeddingQueue``."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.queue = MemoryEmbeddingQueue(batch_bytes=BATCH_BYTES, clock=lambda: self.now)
        self.rows: dict[tuple[str, str], int] = {}

    async def add(self, collection: str, *texts: str) -> None:
        for text, passage_id in zip(texts, self.queue.add(collection, texts), strict=True):
            self.rows[collection, text] = passage_id

    async def delete(self, collection: str, text: str) -> None:
        self.queue.delete(self.rows[collection, text])

    async def embedded(self, collection: str, text: str) -> bool:
        return self.rows[collection, text] in self.queue.vectors

    async def failed(self, collection: str) -> int:
        rows = [passage_id for (name, _), passage_id in self.rows.items() if name == collection]
        return sum(passage_id in self.queue.failures for passage_id in rows)

    def close(self) -> None:
        pass


class InSqlite:
    """``SqliteEmbeddingQueue`` on a real store."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.store = open_store(folder, Limits(collections=400, pending_documents=10**6, finished_jobs=1000))
        self.queue = SqliteEmbeddingQueue(
            self.store._read, self.store._write, batch_bytes=BATCH_BYTES, clock=lambda: self.now
        )
        self.jobs: dict[str, list[str]] = {}

    async def add(self, collection: str, *texts: str) -> None:
        jobs = self.jobs.setdefault(collection, [])
        jobs.append(f"{collection}-{len(jobs)}")
        await self.store.accept(jobs[-1], collection, [document(text, text) for text in texts], NOW)

    async def delete(self, collection: str, text: str) -> None:
        assert await self.store.delete(collection, text)

    async def embedded(self, collection: str, text: str) -> bool:
        found = await self.store.document(collection, text)
        return found is not None and found.embedded

    async def failed(self, collection: str) -> int:
        jobs = [await self.store.job(job_id) for job_id in self.jobs[collection]]
        return sum(job.failed for job in jobs if job is not None)

    def close(self) -> None:
        self.store.close()


def texts(batch: PendingBatch | None) -> list[str]:
    return [] if batch is None else [waiting.text for waiting in batch.passages]


def rows(*batches: PendingBatch | None) -> list[int]:
    return [waiting.passage_id for batch in batches if batch is not None for waiting in batch.passages]


def embedded(batch: PendingBatch | None, fingerprint: str = FINGERPRINT) -> EmbeddedBatch:
    """Return a claimed batch with vectors."""
    assert batch is not None
    return EmbeddedBatch(batch.collection_id, rows(batch), vectors_of(texts(batch)), MODEL, fingerprint, NOW)
