"""Upgrades the store of an earlier release in place, and keeps a copy of it until the upgraded store is checked.

Each migration runs in one transaction: a kill at any moment leaves the store of one schema version or the next. The
copy is for the case that a migration itself is wrong.
"""

import contextlib
import logging
import sqlite3
import time
from pathlib import Path

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.adapters.sqlite import check, migrations
from tandem_gateway.adapters.sqlite.connection import remove_database
from tandem_gateway.errors import StorageCorrupt, StorageUnavailable
from tandem_gateway.records.notices import RoutineNotice

log = logging.getLogger(__name__)

# Pages that one step of the copy reads, at 4 KiB each.
_COPY_PAGES = 10_000
_TELL_SECONDS = 5.0


def copy_path(path: Path, version: int) -> Path:
    """Return the path of the copy that an upgrade from ``version`` keeps until it is done."""
    return path.with_name(f"{path.name}.schema-{version}")


def upgrade(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Upgrade a store that was checked to the schema version of this release, and remove copies of earlier upgrades.

    Args:
        connection: writable, in autocommit mode.
        path: of the database.

    Returns:
        A notice for the log; none if the store has the current version.

    Raises:
        StorageUnavailable: if the copy cannot be written, for example for lack of disk space. The store is unchanged.
        StorageCorrupt: if the upgraded store is not sound. The message names the copy.
    """
    before = _version(connection)
    _remove_copies(path)
    if before == migrations.VERSION:
        return []
    started = time.monotonic()
    log.info("upgrading the store", extra={"from": before, "to": migrations.VERSION, "bytes": path.stat().st_size})
    copied = copy_path(path, before)
    _copy(connection, copied)
    try:
        for version in range(before + 1, migrations.VERSION + 1):
            _migrate(connection, version)
    except sqlite3.Error:
        if _version(connection) == before:  # the store is unchanged, and a full disk needs the room
            copied.unlink()
        raise
    try:
        check.check(connection, path)
    except StorageCorrupt as error:
        raise StorageCorrupt(
            f"{path} was upgraded from schema version {before} to {migrations.VERSION} and is not sound: "
            f"{error.detail or error} {copied} is the store before the upgrade: to go back, put it in place of "
            f"{path.name} and run the release that wrote it"
        ) from error
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copied.unlink()
    sync(path.parent)
    seconds = round(time.monotonic() - started, 3)
    log.info("upgraded the store", extra={"from": before, "to": migrations.VERSION, "seconds": seconds})
    return [
        RoutineNotice(
            f"upgraded from schema version {before} to {migrations.VERSION}; an older release no longer opens it"
        )
    ]


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _remove_copies(path: Path) -> None:
    """Remove the copies that killed upgrades left. The store was checked after that."""
    for version in range(1, migrations.VERSION):
        with contextlib.suppress(OSError):  # an obstacle to the next copy has its own message
            copy_path(path, version).unlink(missing_ok=True)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    # A script may drop a table that others refer to. The check of the whole store also checks the references.
    connection.execute("PRAGMA foreign_keys=OFF")
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            migrations.run(connection, version)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled the transaction back already
                connection.execute("ROLLBACK")
            raise
    finally:
        connection.execute("PRAGMA foreign_keys=ON")


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the store to ``target``, which appears complete or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    remove_database(partial)
    told = time.monotonic()

    def report(status: int, left: int, pages: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            log.info("copying the store before its upgrade", extra={"pages": pages - left, "of": pages})

    try:
        partial.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as copy:
            connection.backup(copy, pages=_COPY_PAGES, progress=report)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailable(
            f"the store has an earlier schema version, and the copy that its upgrade needs cannot be written: {error}. "
            f"The store is unchanged",
            detail=f"{target} cannot be written: {error}; the upgrade needs free space of four times the store's size",
        ) from error
    finally:
        remove_database(partial)
