"""Fixtures of the store's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tests.support.stores import opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with opened(tmp_path) as made:
        yield made
