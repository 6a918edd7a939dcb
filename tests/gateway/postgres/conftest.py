"""Fixtures of the tests of what the store on PostgreSQL alone has to do."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tandem_gateway.adapters.postgres.store import PostgresStore
from tests.support import postgres
from tests.support.postgres_check import find_damage
from tests.support.stores import LIMITS

OpenStore = Callable[..., PostgresStore]


@pytest.fixture
def url() -> Iterator[str]:
    """The database of one test, with an empty store."""
    taken = postgres.databases().take()
    yield taken
    postgres.databases().give_back(taken)


@pytest.fixture
def open_store(url: str) -> Iterator[OpenStore]:
    """Open stores on the database, as several gateways do; at the end, they are closed and the database is checked."""
    opened: list[PostgresStore] = []

    def make(**options: Any) -> PostgresStore:
        given = {"limits": LIMITS, "max_queued": 100, "write_timeout": 30.0, "batch_bytes": 1 << 20, **options}
        opened.append(PostgresStore(url, **given))
        return opened[-1]

    yield make
    for store in opened:
        store.close()
    assert find_damage(url) == []
