"""Fixtures of the index thread's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.index.index_thread import IndexThread
from tests.gateway.index.threads import start
from tests.support.stores import opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture
def thread(store: SqliteStore, tmp_path: Path) -> Iterator[IndexThread]:
    made, _ = start(tmp_path)
    yield made
    made.close()
