"""Fixtures of the conformance tests: each test runs on every backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.ports.change_log import IndexFeed
from tests.gateway.ports.backends import Backend, InMemory, InPostgres, InSqlite, Store


@pytest.fixture(params=[InMemory, InSqlite, InPostgres])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made: Backend = request.param(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    return backend.open()


@pytest.fixture
def feed(backend: Backend, store: Store) -> IndexFeed:
    return backend.feed(store)
