"""The size of a collection on disk: reading ends after a time, and the answer then says that it is an estimate."""

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

from tandem_gateway.adapters.sqlite import sizes
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.ports.sizes import MEASURED_SECONDS
from tests.support.stores import document, ingest


async def test_measuring_ends_after_a_time(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"{number:02}", "x" * 10) for number in range(20)])
    exact = await store.stored_size("default", 0, 0)
    assert exact is not None
    assert not exact.estimated
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        for steps in (1, 2, 5):
            seconds = count(0.0, MEASURED_SECONDS / steps)
            found = sizes.stored_size(connection, "default", 0, 0, lambda seconds=seconds: next(seconds))
            assert found is not None
            assert found.estimated
            assert found.bytes == exact.bytes  # the documents are equally long
        frozen = sizes.stored_size(connection, "default", 0, 0, lambda: 0.0)
        assert frozen == exact
