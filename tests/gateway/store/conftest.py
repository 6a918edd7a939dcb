"""Fixtures of the store's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tests.gateway.store.older_stores import VERSIONS, copy_of
from tests.support.stores import opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(params=VERSIONS)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data directory of each earlier schema."""
    return copy_of(request.param, tmp_path)
