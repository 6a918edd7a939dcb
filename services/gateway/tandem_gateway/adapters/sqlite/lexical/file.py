"""Opens, checks and removes the keyword index's file, and translates its errors."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.analysis.terms import VERSION as ANALYSIS_VERSION
from tandem_gateway.errors import DeadlineExceeded, StorageUnavailable

FILE_NAME = "lexical.sqlite3"
TOO_LATE = "the keyword search was not answered in time"

_APPLICATION_ID = 0x54_4E_44_4C  # "TNDL"
_VERSION = 2  # of the file's tables: the gateway rebuilds a file of another version

_SCHEMA = (
    "CREATE TABLE position (store_id TEXT NOT NULL, row_id INTEGER NOT NULL, analysis TEXT NOT NULL) STRICT",
    # removed: removed passages whose terms are still in segments. change: the store's removals up to it are applied.
    "CREATE TABLE collections (collection_id INTEGER PRIMARY KEY, documents INTEGER NOT NULL, "
    "removed INTEGER NOT NULL DEFAULT 0, change INTEGER NOT NULL DEFAULT 0) STRICT",
)
# The collections whose stems are not English ones, or that get stems of another language: the table words_<id>_next has
# them of the passages up to next_row. Earlier releases have no such table, so it is no part of the version.
_LANGUAGES = (
    "CREATE TABLE IF NOT EXISTS languages (collection_id INTEGER PRIMARY KEY, language TEXT NOT NULL, "
    "next_language TEXT, next_row INTEGER NOT NULL DEFAULT 0) STRICT"
)
# Errors of the machine, not of the file: a rebuild would not help.
_OUTSIDE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_NOMEM")


class CacheUnusable(Exception):
    """The file is damaged, or of another store or version; it needs a rebuild."""


class CacheOutdated(CacheUnusable):
    """The file is undamaged, but of another release."""


class Opened(NamedTuple):
    """An open file and a summary of its content."""

    connection: sqlite3.Connection
    position: int
    """The file has every passage of the store up to this id."""
    counts: dict[int, int]
    """Collection → number of passages."""
    changes: dict[int, int]
    """Collection → change up to which the store's removals are applied."""


def open_file(path: Path, store_id: str, last_passage: int, last_change: int) -> Opened:
    """Open the file, or create an empty one.

    For a quick start, the function checks only the version, the store's id and the counts.

    Raises:
        CacheUnusable: if the file does not match the store with this id, last passage and last change.
        StorageUnavailable: if the file cannot be opened or written.
    """
    if path.is_dir():
        raise CacheUnusable("it is a folder")
    if path.is_symlink() and not path.exists():
        raise CacheUnusable("it is a link to nothing")
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, store_id)
            return _checked(connection, store_id, last_passage, last_change)
        except BaseException:
            connection.close()
            raise


def _prepare(connection: sqlite3.Connection, store_id: str) -> None:
    execute = connection.execute
    # A kill loses nothing. A power failure can lose the last commits; the follower then applies them again.
    execute("PRAGMA synchronous=NORMAL")
    execute("PRAGMA journal_mode=WAL")
    execute("PRAGMA journal_size_limit=67108864")
    execute("PRAGMA cache_size=-8000")
    # Overwrite removed content with zeros.
    execute("PRAGMA secure_delete=ON")
    if execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        execute("BEGIN IMMEDIATE")
        execute(f"PRAGMA application_id={_APPLICATION_ID}")
        execute(f"PRAGMA user_version={_VERSION}")
        for statement in _SCHEMA:
            execute(statement)
        execute("INSERT INTO position VALUES (?, 0, ?)", (store_id, ANALYSIS_VERSION))
        execute("COMMIT")
    execute(_LANGUAGES)


def _checked(connection: sqlite3.Connection, store_id: str, last_passage: int, last_change: int) -> Opened:
    execute = connection.execute
    (application_id,) = execute("PRAGMA application_id").fetchone()
    (version,) = execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise CacheUnusable("it is not a keyword index")
    if version != _VERSION:
        raise CacheOutdated(f"it is of version {version}, not of {_VERSION}")
    found = execute("SELECT store_id, row_id, analysis FROM position").fetchall()
    if len(found) != 1 or found[0][0] != store_id:
        raise CacheUnusable("it is of another store")
    if found[0][2] != ANALYSIS_VERSION:
        raise CacheOutdated(f"its terms are of version {found[0][2]}, not of {ANALYSIS_VERSION}")
    position = int(found[0][1])
    if position > last_passage:
        raise CacheUnusable(f"it holds passage {position}, the store ends at {last_passage}")
    rows = execute("SELECT collection_id, documents, change FROM collections").fetchall()
    for collection_id, passages, change in rows:
        if change > last_change:
            raise CacheUnusable(f"it has applied change {change}, the store ends at {last_change}")
        (count,) = execute(f"SELECT count(*) FROM words_{collection_id}_docsize").fetchone()
        if count != passages:
            raise CacheUnusable(f"its table of collection {collection_id} has {count} passages, not {passages}")
    return Opened(
        connection,
        position,
        {collection_id: passages for collection_id, passages, _ in rows},
        {collection_id: change for collection_id, _, change in rows},
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate SQLite's errors in the body into CacheUnusable, StorageUnavailable or DeadlineExceeded."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name == "SQLITE_INTERRUPT":
            raise DeadlineExceeded(TOO_LATE) from error
        if str(error).startswith("fts5: "):
            raise  # an invalid expression: a defect of this program, not of the file
        if name.startswith(_OUTSIDE) and not name.startswith("SQLITE_IOERR_CORRUPT"):
            raise StorageUnavailable(f"{path}: {error} ({name})") from error
        raise CacheUnusable(f"{' '.join(str(error).split())} ({name or type(error).__name__})") from error
    except MemoryError as error:
        # Damaged lengths make FTS5 ask for gigabytes, which SQLite refuses. A service that has no memory left does not
        # get this far: its allocator ends it.
        raise CacheUnusable("SQLite needs more memory for it than there is") from error


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[Callable[..., sqlite3.Cursor]]:
    """Run the body, which gets ``connection.execute``, in a write transaction; raises as ``translated`` does."""
    with translated(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection.execute
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def sync_log(path: Path) -> None:
    """Sync the log of an open file to the disk, and with it all commits.

    SQLite syncs the log only at a checkpoint, and not at one that a reader prevents.

    Raises:
        StorageUnavailable: if the disk fails.
    """
    try:
        sync(path.with_name(f"{path.name}-wal"))
        sync(path.parent)
    except OSError as error:
        raise StorageUnavailable(f"{path}: its log cannot be synced: {error.strerror}") from error


def remove(path: Path) -> None:
    """Remove a keyword index's file and its log, or a link or an empty folder in their place.

    Raises:
        StorageUnavailable: if one of them cannot be removed.
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
                f"{target} is in the way of the keyword index and cannot be removed: {error.strerror}"
            ) from error
