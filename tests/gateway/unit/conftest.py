"""Fixtures of the unit tests."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tandem_gateway.use_cases import embedding_worker
from tests.gateway.unit.work import Work, working
from tests.support.fakes import FakeEmbedder, run
from tests.support.stores import opened


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a test with a task that works, without pauses between its tries."""
    monkeypatch.setattr(embedding_worker, "delay", lambda failures, randomness: 0.0)

    def runs(test: Callable[[Work], Awaitable[None]], *, batch: int = 4, calls: int = 2) -> None:
        async def inside() -> None:
            with opened(tmp_path) as store:
                async with working(store, FakeEmbedder(), batch, calls) as work:
                    await test(work)

        run(inside)

    return runs
