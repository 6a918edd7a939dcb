"""A store, the embedders of two models, and the task and use case between them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.records.reembedding import Reembedding
from tandem_gateway.use_cases import reembedding_worker
from tandem_gateway.use_cases.reembedding import Reembed
from tandem_gateway.use_cases.reembedding_worker import ReembeddingWorker
from tests.gateway.index.threads import start
from tests.support.fakes import FakeEmbedder, eventually
from tests.support.reembedding import NEW, NEW_DIM
from tests.support.stores import opened


class Renewal:
    """The use case with its task at work; ``embedder`` makes vectors of the new model."""

    def __init__(self, store: SqliteStore, data_dir: Path) -> None:
        self.store = store
        self.embedder = FakeEmbedder(NEW_DIM)
        self.embedder.fingerprint = NEW.fingerprint
        self.index, _ = start(data_dir)
        self.worker = ReembeddingWorker(
            store.reembeddings,
            self.embedder,
            batch=4,
            calls=2,
            timeout=5.0,
            replicas=lambda: self.embedder.replicas,
        )
        self.changes = 0
        self.use_case = self.with_canary(self.embedder)

    def with_canary(self, canary: FakeEmbedder | None) -> Reembed:
        return Reembed(
            self.store.reembeddings, self.store, canary, self.worker, self.index, timeout=5.0, on_changed=self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    async def state(self) -> Reembedding:
        found = await self.store.reembeddings.reembedding("default")
        assert found is not None
        return found

    async def filled(self) -> Reembedding:
        return await eventually(self.state, lambda state: state.complete)


Scenario = Callable[..., AbstractAsyncContextManager[Renewal]]


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A context with a running task, without pauses between its retries."""
    monkeypatch.setattr(reembedding_worker, "delay", lambda failures, randomness: 0.0)

    @asynccontextmanager
    async def at_work() -> AsyncIterator[Renewal]:
        with opened(tmp_path) as store:
            made = Renewal(store, tmp_path)
            task = asyncio.create_task(made.worker.run())
            try:
                yield made
                assert not task.done(), f"the task ended: {task}"
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                made.index.close()

    return at_work
