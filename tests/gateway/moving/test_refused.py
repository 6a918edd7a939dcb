"""What ``move`` refuses: a target that is not empty, stores in use, settings that are missing."""

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from psycopg.errors import LockNotAvailable

from tandem_gateway.adapters.data_lock import OWNER, DataLock
from tandem_gateway.adapters.moving.digests import Row
from tandem_gateway.adapters.moving.tables import VECTORS, Table
from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.moving import quiet, sessions
from tandem_gateway.adapters.postgres.moving.target import PostgresTarget
from tandem_gateway.adapters.postgres.watch import Watch
from tandem_gateway.composition import stores
from tandem_gateway.errors import StorageCorrupt, StorageInUse, StorageUnavailable
from tandem_gateway.settings import Settings
from tests.gateway.moving.stores_to_move import command, content, move, open_postgres
from tests.support.fakes import WAIT_SECONDS
from tests.support.stores import document, ingest


@contextlib.contextmanager
def gateway_at(url: str) -> Iterator[None]:
    """Look for commits as a running gateway does."""
    looked = threading.Event()
    watch = Watch(lambda: PostgresIndexFeed(url), [looked.set])
    watch.start()
    try:
        assert looked.wait(WAIT_SECONDS)
        yield
    finally:
        watch.close()


def test_a_database_that_is_not_empty(directory: Path, url: str):
    store = open_postgres(url)
    asyncio.run(ingest(store, [document("mine")]))
    store.close()
    with pytest.raises(
        StorageUnavailable, match="not empty: it holds a store with 1 collections, 1 jobs and 0 API keys"
    ):
        move(directory, url, "postgres")
    with connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM moved").fetchone() == (0,)


def test_a_directory_that_is_not_empty(directory: Path, url: str):
    before = content(directory)
    with pytest.raises(StorageUnavailable, match=r"not empty: it holds access\.secret, access\.db, committed, "):
        move(directory, url, "directory")
    assert content(directory) == before
    assert not (directory / "moving").exists()


@pytest.mark.parametrize("to", ["postgres", "directory"])
def test_a_directory_in_use(directory: Path, url: str, to: str):
    lock = DataLock(directory, OWNER)
    with pytest.raises(StorageInUse, match="is in use by process"):
        move(directory, url, to)
    lock.release()


@pytest.mark.parametrize("to", ["postgres", "directory"])
def test_a_database_in_use(directory: Path, tmp_path: Path, url: str, to: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quiet, "_PATIENCE_SECONDS", 0.0)
    with (
        gateway_at(url),
        pytest.raises(StorageInUse, match=r"the database is in use by .*: stop all its gateways first"),
    ):
        move(directory if to == "postgres" else tmp_path / "target", url, to)


def test_a_gateway_does_not_start_while_a_move_reads_its_database(tmp_path: Path, url: str):
    limits = "&options=-c%20statement_timeout%3D15s%20-c%20idle_in_transaction_session_timeout%3D5s"
    with sessions.open_source(url + limits) as (source, _):
        for limit in (b"statement_timeout", b"idle_in_transaction_session_timeout"):
            assert source._connection.execute(b"SHOW " + limit).fetchone() == ("0",)
        with pytest.raises(StorageInUse, match="a move of the database is running"):
            stores.open_keys(Settings(data_dir=tmp_path, store_url=url))
        with connect(url) as connection:
            connection.execute("SET lock_timeout = '10ms'")
            with pytest.raises(LockNotAvailable):
                connection.execute("UPDATE jobs SET total = total")


def test_what_is_missing(directory: Path, tmp_path: Path, url: str):
    refused = command(directory, "", "move", "--to", "postgres")
    told = "tandem_gateway: TANDEM_STORE_URL: move needs the database beside the data directory\n"
    assert (refused.returncode, refused.stderr) == (2, told)
    with pytest.raises(StorageUnavailable, match="holds no store"):
        move(tmp_path / "nothing", url, "postgres")


def test_a_row_that_arrives_changed_is_found(directory: Path, url: str, monkeypatch: pytest.MonkeyPatch):
    load = PostgresTarget.load

    def flip_a_bit(target: PostgresTarget, table: Table, rows: Iterable[Row]) -> None:
        if table is VECTORS:
            rows = (
                (*row[:3], bytes([row[3][0] ^ (place == 5), *row[3][1:]]), *row[4:]) for place, row in enumerate(rows)
            )
        load(target, table, rows)

    monkeypatch.setattr(PostgresTarget, "load", flip_a_bit)
    with pytest.raises(StorageCorrupt, match=r"vectors: \d+ rows with the checksum .* the source is unchanged"):
        move(directory, url, "postgres")
    with connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (0,)
