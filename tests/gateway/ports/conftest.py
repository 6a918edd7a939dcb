"""Fixtures of the conformance tests: each test runs on every backend.

Behind PgBouncer, only the tests of some modules run, and all of them with TANDEM_TEST_PGBOUNCER=1.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tandem_gateway.ports.change_log import IndexFeed
from tests.gateway.ports.backends import Backend, BehindPgBouncer, InMemory, InPostgres, InSqlite, Store

_BACKENDS: Final = (InMemory, InSqlite, InPostgres)
_ALSO_BEHIND_PGBOUNCER: Final = {"test_embedding_queue", "test_position", "test_retry"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        every = os.environ.get("TANDEM_TEST_PGBOUNCER") == "1"
        module = metafunc.module.__name__.rpartition(".")[2]
        more = (BehindPgBouncer,) if every or module in _ALSO_BEHIND_PGBOUNCER else ()
        metafunc.parametrize("backend", [*_BACKENDS, *more], indirect=True)


@pytest.fixture
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
