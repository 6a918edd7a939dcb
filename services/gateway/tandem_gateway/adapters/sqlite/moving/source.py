"""A stopped gateway's data directory as the source of a move."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tandem_gateway.adapters.moving.numbers import MAX_NUMBER
from tandem_gateway.adapters.sqlite import counters, key_secret, key_tables
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, close_whole, translated
from tandem_gateway.adapters.sqlite.key_store import FILE_NAME as KEYS_NAME
from tandem_gateway.adapters.sqlite.moving.rows import SqliteRows
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.reads import store_id
from tandem_gateway.errors import StorageUnavailable

_BUSY_TIMEOUT_SECONDS = 10.0


@contextmanager
def open_source(data_dir: Path) -> Iterator[tuple[SqliteRows, str, list[str]]]:
    """Check a store, and yield its rows, its id, and notices of the check. The caller has locked the directory.

    Raises:
        StorageCorrupt: the store is damaged.
        StorageUnavailable: there is no store, or it cannot be read or moved.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        raise StorageUnavailable(f"{data_dir} holds no store ({FILE_NAME} is missing)")
    with ExitStack() as stack:
        connection, notices = open_checked(data_dir)
        stack.callback(close_whole, connection)
        stack.enter_context(translated(path))
        stack.enter_context(_reading(connection))
        number = counters.value(connection, "document")
        if number > MAX_NUMBER:
            raise StorageUnavailable(
                f"the store has given {number} numbers to documents; at most {MAX_NUMBER} can move"
            )
        secret = key_secret.read(data_dir / key_secret.FILE_NAME)
        keys = stack.enter_context(_keys(data_dir / KEYS_NAME, had_keys=secret is not None))
        yield SqliteRows(connection, keys, secret, renumber=True), store_id(connection), notices


@contextmanager
def _keys(path: Path, *, had_keys: bool) -> Iterator[sqlite3.Connection | None]:
    """Yield a connection to the API keys; None if there is no file.

    Raises:
        StorageUnavailable: the keys are those of a later release, or their secret is lost.
    """
    if not path.exists():
        yield None
        return
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with (
        translated(path),
        closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None)) as connection,
    ):
        key_tables.check_version(connection, path)
        key_tables.prepare(connection, had_keys=had_keys)
        with _reading(connection):
            if not had_keys and connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None:
                raise StorageUnavailable(
                    f"{key_secret.FILE_NAME} is missing, so no key of {path} can work: put it back from a backup, or "
                    f"remove {path.name}"
                )
            yield connection


@contextmanager
def _reading(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
