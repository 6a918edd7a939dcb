"""Fixtures of the ingest tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tandem_gateway.use_cases import embedding_pauses
from tests.gateway.ingest.work import Scenario, Work, working
from tests.support.fakes import FakeEmbedder
from tests.support.stores import opened


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A context with a running worker, without pauses between its retries."""
    monkeypatch.setattr(embedding_pauses, "delay", lambda failures, randomness: 0.0)

    @asynccontextmanager
    async def at_work(*, batch: int = 4, calls: int = 2) -> AsyncIterator[Work]:
        with opened(tmp_path) as store:
            async with working(store, FakeEmbedder(), batch, calls) as work:
                yield work

    return at_work
