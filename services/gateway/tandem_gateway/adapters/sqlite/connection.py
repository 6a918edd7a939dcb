"""Opens the store's file, and turns SQLite's errors into the domain's."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tandem_gateway.adapters.sqlite import schema
from tandem_gateway.errors import StorageCorrupt, StorageError, StorageUnavailable

FILE_NAME = "tandem.sqlite3"

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT")
_BUSY_TIMEOUT_SECONDS = 10.0
# Memory that SQLite takes for a connection's pages; the system keeps them as well, and more of them.
_PAGE_KIB = 1000


def explain(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StorageError:
    """Return the domain's error for one of SQLite's: corrupt if the content is wrong, else unavailable.

    A UnicodeDecodeError is one too: of a message that quotes damaged text.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    # Without a code it comes from the module's own conversion of a value, such as text that is not UTF-8.
    # A damaged format number in the header has the code of a mistake in SQL, and only the message tells.
    if (
        isinstance(error, UnicodeDecodeError)
        or name.startswith(_DAMAGED)
        or (not name and isinstance(error, sqlite3.OperationalError))
        or str(error) == "unsupported file format"
    ):
        return StorageCorrupt(
            f"{path} is damaged ({' '.join(str(error).split())}); nothing is served from it. "
            f"Put back a backup of the data directory, or move it away and ingest again"
        )
    return StorageUnavailable(f"{path}: {error} ({name or type(error).__name__})")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise the domain's errors for SQLite's in the body."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, path) from error


def connect_for_check(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot change the file, whatever state it is in.

    Closing the last connection that could write folds the log into the database and removes it: if the log is damaged,
    with all that somebody might have saved from behind the damage.

    Raises:
        StorageError: if the file cannot be opened.
    """
    with translated(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None
        )
        schema.register(connection)
        return connection


def connect(path: Path, *, writable: bool, page_kib: int = _PAGE_KIB) -> sqlite3.Connection:
    """Return a connection in autocommit mode, with the store's pragmas and functions.

    synchronous=FULL: a commit is on disk when it returns, also through a loss of power.

    Args:
        path: of the file.
        writable: whether it may write; only one connection does.
        page_kib: memory for its pages, KiB.

    Raises:
        StorageError: if the file cannot be opened or is no store.
    """
    with translated(path):
        mode = "rwc" if writable else "rw"  # a reader of a WAL file needs the right to write its shared memory
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            schema.register(connection)
            if writable:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA foreign_keys=ON")
                # What is deleted is overwritten with zeros, however this SQLite was compiled.
                connection.execute("PRAGMA secure_delete=ON")
                connection.execute("PRAGMA journal_size_limit=67108864")
            else:
                connection.execute("PRAGMA query_only=ON")
            connection.execute(f"PRAGMA cache_size=-{page_kib}")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Let every statement of the body see the same state of the store."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
