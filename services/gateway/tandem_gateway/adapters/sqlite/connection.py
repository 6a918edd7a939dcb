"""Opens the store's file and translates SQLite's errors into the domain's."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tandem_gateway.adapters.sqlite import schema
from tandem_gateway.errors import StorageCorrupt, StorageError, StorageUnavailable

FILE_NAME = "tandem.sqlite3"

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT")
_REASONS = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "the disk is read-only",
    "SQLITE_IOERR": "the disk reports an error",
    "SQLITE_BUSY": "another process has locked it",
    "SQLITE_CANTOPEN": "its file cannot be opened",
    "SQLITE_NOMEM": "there is no memory left",
}
"""Prefix of SQLite's error name → reason in the error message for clients."""
_BUSY_TIMEOUT_SECONDS = 10.0
# Page cache of a connection, KiB. Small, because the operating system caches the pages too, and more of them.
_PAGE_KIB = 1000


def explain(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StorageError:
    """Return the domain's error for one of SQLite's: corrupt if the content is wrong, else unavailable.

    A UnicodeDecodeError also means damage: the module raises it for an error message that quotes damaged text.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    # An error without a code comes from the module's own conversion of a value, such as text that is not UTF-8.
    # For a damaged format number in the header, SQLite uses the code of an SQL error; only the message differs.
    if (
        isinstance(error, UnicodeDecodeError)
        or name.startswith(_DAMAGED)
        or (not name and isinstance(error, sqlite3.OperationalError))
        or str(error) == "unsupported file format"
    ):
        advice = "nothing is served from it. Put back a backup of the data directory, or move it away and ingest again"
        return StorageCorrupt(
            f"the store is damaged; {advice}",
            detail=f"{path} is damaged ({' '.join(str(error).split())}); {advice}",
        )
    reason = next((text for start, text in _REASONS.items() if name.startswith(start)), "see the gateway's log")
    return StorageUnavailable(
        f"the store cannot be read or written now: {reason}",
        detail=f"{path}: {error} ({name or type(error).__name__})",
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate SQLite's errors in the body into the domain's."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, path) from error
    except MemoryError as error:  # what the module raises for SQLITE_NOMEM
        reason = _REASONS["SQLITE_NOMEM"]
        raise StorageUnavailable(
            f"the store cannot be read or written now: {reason}", detail=f"{path}: {reason}"
        ) from error


def connect_for_check(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot change the file, whatever the file's state.

    When the last writable connection closes, SQLite folds the log into the database and removes the log. From a damaged
    log, that would destroy the frames after the damage, which somebody might have recovered.

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

    synchronous=FULL: a commit is on disk when it returns and survives a power failure.

    Args:
        path: of the file.
        writable: whether the connection may write; at most one connection may.
        page_kib: size of the page cache, KiB.

    Raises:
        StorageError: if the file cannot be opened or is not a store.
    """
    with translated(path):
        mode = "rwc" if writable else "rw"  # a reader of a WAL file must be able to write its shared memory
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
                # Overwrite deleted content with zeros; only some builds of SQLite do so by default.
                connection.execute("PRAGMA secure_delete=ON")
                connection.execute("PRAGMA journal_size_limit=67108864")
            else:
                connection.execute("PRAGMA query_only=ON")
            connection.execute(f"PRAGMA cache_size=-{page_kib}")
        except BaseException:
            connection.close()
            raise
        return connection


def close_whole(connection: sqlite3.Connection) -> None:
    """Close the last connection to a store and leave a database without a write-ahead log.

    If the disk is full or another process reads the database, the log stays in use.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()


@contextmanager
def read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the body in a read transaction, so that all its statements see the same state of the store."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def remove_database(path: Path) -> None:
    """Remove a database that nobody has open, with its journal or log, if they exist."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
