"""Opens the lexical index's file, says what is wrong with it, and removes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tandem_gateway.analysis.terms import VERSION as ANALYSIS_VERSION
from tandem_gateway.errors import DeadlineExceeded, StorageUnavailable

FILE_NAME = "lexical.sqlite3"
TOO_LATE = "the lexical search was not answered in time"

_APPLICATION_ID = 0x54_4E_44_4C  # "TNDL"
_VERSION = 2  # of this file's tables: a file of another version is rebuilt

_SCHEMA = (
    "CREATE TABLE position (store_id TEXT NOT NULL, row_id INTEGER NOT NULL, analysis TEXT NOT NULL) STRICT",
    # removed: documents whose terms are still in segments; change: the last removal of the store that was followed.
    "CREATE TABLE collections (collection_id INTEGER PRIMARY KEY, documents INTEGER NOT NULL, "
    "removed INTEGER NOT NULL DEFAULT 0, change INTEGER NOT NULL DEFAULT 0) STRICT",
)
# Of the machine, not of the file: a rebuild would not help.
_OUTSIDE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_NOMEM")


class CacheUnusable(Exception):
    """The file is damaged, or of another store or version; it has to be rebuilt."""


class CacheOutdated(CacheUnusable):
    """The file is of another release: nothing is damaged."""


class Opened(NamedTuple):
    """An open file, and what it holds."""

    connection: sqlite3.Connection
    position: int
    """Every row of the store up to this one is in it."""
    counts: dict[int, int]
    """Documents by collection."""


def open_file(path: Path, store_id: str, last_row: int) -> Opened:
    """Open the file, or make an empty one.

    The check is a cheap one, for a quick start: version, store and counts.

    Raises:
        CacheUnusable: unless it can be of the store with this id and this last row.
        StorageUnavailable: if it cannot be opened or written.
    """
    if path.is_dir():
        raise CacheUnusable("it is a folder")
    if path.is_symlink() and not path.exists():
        raise CacheUnusable("it is a link to nothing")
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, store_id)
            return Opened(connection, *_checked(connection, store_id, last_row))
        except BaseException:
            connection.close()
            raise


def _prepare(connection: sqlite3.Connection, store_id: str) -> None:
    execute = connection.execute
    # A kill loses nothing, a loss of power the last commits, which are then followed again.
    execute("PRAGMA synchronous=NORMAL")
    execute("PRAGMA journal_mode=WAL")
    execute("PRAGMA journal_size_limit=67108864")
    execute("PRAGMA cache_size=-8000")
    # What is removed is overwritten with zeros.
    execute("PRAGMA secure_delete=ON")
    if execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        execute("BEGIN IMMEDIATE")
        execute(f"PRAGMA application_id={_APPLICATION_ID}")
        execute(f"PRAGMA user_version={_VERSION}")
        for statement in _SCHEMA:
            execute(statement)
        execute("INSERT INTO position VALUES (?, 0, ?)", (store_id, ANALYSIS_VERSION))
        execute("COMMIT")


def _checked(connection: sqlite3.Connection, store_id: str, last_row: int) -> tuple[int, dict[int, int]]:
    execute = connection.execute
    (application_id,) = execute("PRAGMA application_id").fetchone()
    (version,) = execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise CacheUnusable("it is no lexical index")
    if version != _VERSION:
        raise CacheOutdated(f"it is of version {version}, not of {_VERSION}")
    found = execute("SELECT store_id, row_id, analysis FROM position").fetchall()
    if len(found) != 1 or found[0][0] != store_id:
        raise CacheUnusable("it is of another store")
    if found[0][2] != ANALYSIS_VERSION:
        raise CacheOutdated(f"its terms are of version {found[0][2]}, not of {ANALYSIS_VERSION}")
    position = int(found[0][1])
    if position > last_row:
        raise CacheUnusable(f"it holds row {position}, the store ends at {last_row}")
    counts: dict[int, int] = dict(execute("SELECT collection_id, documents FROM collections"))
    for collection_id, documents in counts.items():
        (count,) = execute(f"SELECT count(*) FROM words_{collection_id}_docsize").fetchone()
        if count != documents:
            raise CacheUnusable(f"its table of collection {collection_id} has {count} rows, not {documents}")
    return position, counts


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise CacheUnusable, StorageUnavailable or DeadlineExceeded for SQLite's errors in the body."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name == "SQLITE_INTERRUPT":
            raise DeadlineExceeded(TOO_LATE) from error
        if str(error).startswith("fts5: "):
            raise  # an expression that is none: a defect of ours, and none of the file
        if name.startswith(_OUTSIDE) and not name.startswith("SQLITE_IOERR_CORRUPT"):
            raise StorageUnavailable(f"{path}: {error} ({name})") from error
        raise CacheUnusable(f"{' '.join(str(error).split())} ({name or type(error).__name__})") from error


def remove(path: Path) -> None:
    """Remove a lexical index's file and its log, or what else is in their place: a link, or an empty folder.

    Raises:
        StorageUnavailable: if that is not possible.
    """
    for ending in ("", "-wal", "-shm"):
        target = path.with_name(path.name + ending)
        try:
            if target.is_dir() and not target.is_symlink():
                target.rmdir()
            else:
                target.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(
                f"{target} is in the way of the lexical index and cannot be removed: {error.strerror}"
            ) from error
