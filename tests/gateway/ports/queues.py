"""A store with an embedding queue whose clock the test moves, and helpers to fill and read it."""

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch
from tests.gateway.ports.backends import Backend
from tests.support.fakes import FINGERPRINT, MODEL, vectors_of
from tests.support.stores import NOW, document

BATCH_BYTES = 100
LEASE_SECONDS = 10.0


class Subject:
    """A queue under test, and its store."""

    def __init__(self, backend: Backend) -> None:
        self.now = 0.0
        """The queue's clock, in seconds."""
        limits = Limits(collections=400, pending_documents=10**6, finished_jobs=1000)
        self.store = backend.open(limits, batch_bytes=BATCH_BYTES, clock=lambda: self.now)
        self.queue = self.store.queue
        self.jobs: dict[str, list[str]] = {}

    async def add(self, collection: str, *texts: str, owner: str | None = None) -> None:
        """Add documents with these texts, which no other document has."""
        jobs = self.jobs.setdefault(collection, [])
        jobs.append(f"{collection}-{len(jobs)}")
        await self.store.accept(jobs[-1], collection, [document(text, text) for text in texts], NOW, owner=owner)

    async def delete(self, collection: str, text: str) -> None:
        """Delete the pending document with this text."""
        assert await self.store.delete(collection, text)

    async def embedded(self, collection: str, text: str) -> bool:
        """Return whether the document with this text has its vector."""
        found = await self.store.document(collection, text)
        return found is not None and found.embedded

    async def failed(self, collection: str) -> int:
        """Return how many of a collection's documents failed."""
        jobs = [await self.store.job(job_id) for job_id in self.jobs[collection]]
        return sum(job.failed for job in jobs if job is not None)


def texts(batch: PendingBatch | None) -> list[str]:
    return [] if batch is None else [waiting.text for waiting in batch.passages]


def rows(*batches: PendingBatch | None) -> list[int]:
    return [waiting.passage_id for batch in batches if batch is not None for waiting in batch.passages]


def embedded(batch: PendingBatch | None, fingerprint: str = FINGERPRINT) -> EmbeddedBatch:
    """Return a claimed batch with vectors."""
    assert batch is not None
    return EmbeddedBatch(batch.collection_id, rows(batch), vectors_of(texts(batch)), MODEL, fingerprint, NOW)
