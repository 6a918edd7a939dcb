"""A store, an embedder that a test controls, and the worker that embeds between them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.records.documents import JobRecord
from tandem_gateway.use_cases.embedding_worker import EmbeddingEvents, EmbeddingWorker
from tests.support.fakes import FakeEmbedder, eventually
from tests.support.stores import NOW, document


class Work:
    """A store, an embedder, and the worker between them."""

    def __init__(self, store: SqliteStore, embedder: FakeEmbedder, batch: int, calls: int) -> None:
        self.store = store
        self.embedder = embedder
        self.embedded: list[int] = []
        self.truncated: list[int] = []
        self.unreadable: list[int] = []
        self.failed = 0
        self.retried: list[str] = []
        self.mismatches = 0
        self.retry: Callable[[str], None] = self.retried.append
        self.task = EmbeddingWorker(
            store.queue,
            embedder,
            batch=batch,
            calls=calls,
            timeout=5.0,
            events=EmbeddingEvents(
                self.embedded.append,
                self._failed,
                self._retried,
                self._mismatched,
                self.truncated.append,
                self.unreadable.append,
            ),
        )

    def _failed(self, documents: int) -> None:
        self.failed += documents

    def _retried(self, reason: str) -> None:
        self.retry(reason)

    def _mismatched(self) -> None:
        self.mismatches += 1

    async def accept(self, job_id: str, *doc_ids: str, collection: str = "default") -> None:
        await self.store.accept(job_id, collection, [document(doc_id) for doc_id in doc_ids], NOW)
        self.task.notify()

    async def job(self, job_id: str) -> JobRecord:
        found = await self.store.job(job_id)
        assert found is not None
        return found

    async def finished(self, job_id: str) -> JobRecord:
        return await eventually(lambda: self.job(job_id), lambda job: job.finished_at is not None)

    async def count(self, collection: str) -> tuple[int, int]:
        for record in await self.store.collections():
            if record.name == collection:
                return record.live, record.pending
        return 0, 0


@asynccontextmanager
async def working(store: SqliteStore, embedder: FakeEmbedder, batch: int = 4, calls: int = 2) -> AsyncIterator[Work]:
    work = Work(store, embedder, batch, calls)
    task = asyncio.create_task(work.task.run())
    try:
        yield work
        assert not task.done(), f"the task ended: {task}"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


Scenario = Callable[..., AbstractAsyncContextManager[Work]]
"""The type of the fixture ``scenario``: call it with ``batch`` and ``calls``, and enter the context."""
