"""Backs up the store, while the gateway runs or while it is stopped."""

import contextlib
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.adapters.sqlite import check, reads, schema
from tandem_gateway.adapters.sqlite.commit_watermark import FILE_NAME as MARK_NAME
from tandem_gateway.adapters.sqlite.commit_watermark import read_mark
from tandem_gateway.adapters.sqlite.connection import connect, connect_for_check, remove_database, translated
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.records.documents import CollectionRecord

_PARTIAL = re.compile(r"\..+\.\d+\.partial")


def back_up(path: Path, target: Path) -> list[CollectionRecord]:
    """Copy the store at ``path`` to the new file ``target``, and verify the copy.

    Uses SQLite's online backup (https://www.sqlite.org/backup.html) in a single step. The copy is one consistent state
    with every earlier acknowledged write, and the gateway keeps writing meanwhile. The target file appears complete or
    not at all.

    Returns:
        The collections in the copy.

    Raises:
        StorageCorrupt: if the copy is damaged.
        StorageUnavailable: if the store cannot be read, or ``target`` exists already or cannot be written.
    """
    if target.exists():
        raise StorageUnavailable(f"{target} is there already; a backup is a new file")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    _remove_abandoned(target.parent)
    # Read the mark before the copy: the copy must have every commit up to it, and may lack later ones.
    acknowledged = read_mark(path.with_name(MARK_NAME))
    has_log = path.with_name(f"{path.name}-wal").exists()
    try:
        with (
            contextlib.closing(connect_for_check(path) if has_log else connect(path, writable=False)) as source,
            translated(target),
            _held(partial),
            contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as copy,
        ):
            schema.register(copy)
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            check.check(copy, path)
            check.check_log(copy, path, acknowledged)
            collections = reads.collections(copy)
        sync(partial)
        partial.rename(target)
        sync(target.parent)
    finally:
        remove_database(partial)
    return collections


@contextlib.contextmanager
def _held(partial: Path) -> Iterator[None]:
    """Create the file, readable by its owner alone, and hold a lock on it.

    A partial file without a lock was left by a killed process.

    Raises:
        StorageUnavailable: if the file cannot be created.
    """
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageUnavailable(f"{partial} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove the orphaned copies of killed backups; each can be as large as the store."""
    for partial in folder.glob(".*.partial"):
        if _PARTIAL.fullmatch(partial.name) is None or not partial.is_file() or partial.is_symlink():
            continue
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # it was removed meanwhile, or belongs to another user
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_database(partial)
        except BlockingIOError:
            pass  # another backup is running
        finally:
            os.close(descriptor)
