"""Notices a store whose commits are no longer those that a gateway has seen.

After a fail-over that lost commits, or the restore of a backup, the store gives the same numbers
again. A cache that followed the lost ones would take a new passage for an old one of the same number. Each commit
therefore has a number and a random mark. A reader for a cache first compares the last commit that it saw with the
store, in the same state.

A data directory keeps the last commit that its caches may have. Its file is written before the caches get what was
read. It is not synced: after a crash of the machine it may be some seconds behind.
"""

import os
import struct
import threading
import zlib
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.errors import StorageUnavailable

FILE_NAME: Final = "history"
"""File of the gateway."""
SNAPSHOT_FILE_NAME: Final = "history.snapshots"
"""File of the process that saves snapshots."""

_FORMAT: Final = struct.Struct("<Q16s32s")
_CHECKSUM: Final = struct.Struct("<I")
SEEN: Final = "SELECT s.store_id, s.commits, s.mark, m.mark FROM store s LEFT JOIN marks m ON m.commit = "
"""Statement for the last commit of a store, and the mark that it has for the number of another; that number follows."""
_LOST: Final = (
    "the store has lost commits, or an earlier state of it was restored: start the gateway again, so that it rebuilds "
    "its indexes"
)


class Commit(NamedTuple):
    """A commit of a store."""

    store_id: str
    number: int
    mark: UUID


class History:
    """The last commit that the caches of a data directory may have; any thread may use it."""

    def __init__(self, path: Path) -> None:
        """Read the file at ``path``, if there is one."""
        self._path = path
        self._lock = threading.Lock()
        self._file: int | None = None
        self._last = _read(path)

    @property
    def last(self) -> Commit | None:
        """The last commit; None if there is no file, or it is damaged."""
        return self._last

    def note(self, commit: Commit) -> None:
        """Record that the caches may have what was committed up to here.

        Raises:
            StorageUnavailable: the file cannot be written.
        """
        with self._lock:
            if self._last is not None and self._last.number >= commit.number:
                return
            self._last = commit
            content = _FORMAT.pack(commit.number, commit.mark.bytes, commit.store_id.encode())
            try:
                if self._file is None:
                    self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                os.pwrite(self._file, content + _CHECKSUM.pack(zlib.crc32(content)), 0)
            except OSError as error:
                raise StorageUnavailable(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Witness:
    """Compares what one connection sees with what it saw before."""

    def __init__(self, seen: Commit | None) -> None:
        """Begin with the last commit that was seen; None for none."""
        self._seen = seen
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the store has proved to have another history than before."""
        return self._lost

    def learn(self, commit: Commit | None) -> None:
        """Note a commit that another connection has seen, or None: the store must have it from now on."""
        if commit is not None and (self._seen is None or commit.number > self._seen.number):
            self._seen = commit

    def look(self, connection: Connection) -> Commit:
        """Return the last commit of the state that the connection sees.

        Raises:
            StorageUnavailable: the store has another history than before. It stays so until the gateway starts again.
        """
        found, known_now = seen_by(connection, self._seen)
        if self._lost or not _follows(found, self._seen, known_now):
            self._lost = True
            raise lost_commits(found, self._seen)
        self._seen = found
        return found


class Verdict(Enum):
    """What follows from the last commit that a store tells."""

    ANSWER = "answer"
    """The indexes that have this commit can answer."""
    REPEAT = "repeat"
    """An index may have a later commit. Ask again, so that the store proves that it has that one, too."""
    LOST = "lost"
    """The store has another history than the indexes."""


def verdict(found: Commit, known_now: UUID | None, asked: Commit | None, seen: Commit | None) -> Verdict:
    """Judge what a store told.

    Args:
        found: the last commit of the store.
        known_now: the mark that the store has for the number of ``asked``.
        asked: the last commit that any index had seen when the store was asked; None for none.
        seen: the last commit that any index has seen by now.
    """
    if not _follows(found, asked, known_now):
        return Verdict.LOST
    if seen is None or seen.number < found.number or seen == found:
        return Verdict.ANSWER
    return Verdict.REPEAT


def contradict(commit: Commit, other: Commit | None) -> bool:
    """Return whether two commits that were seen are of two histories: they have one number."""
    return other is not None and commit.number == other.number and commit != other


def lost_commits(found: Commit, seen: Commit | None) -> StorageUnavailable:
    """Return the error for a store with another history than a gateway has seen."""
    return StorageUnavailable(
        _LOST,
        detail=f"the database has commit {found.number} of store {found.store_id}, and no longer what this gateway "
        f"has seen, {seen}; start the gateway again",
    )


def agrees(connection: Connection, last: Commit | None) -> bool:
    """Return whether a store still has a commit that was the last one once; true for None."""
    found, known_now = seen_by(connection, last)
    return _follows(found, last, known_now)


def seen_by(connection: Connection, last: Commit | None) -> tuple[Commit, UUID | None]:
    """Return the last commit of a store, and the mark that it has for the number of another commit."""
    row = connection.execute(SEEN + "%s", (last.number if last is not None else 0,)).fetchone()
    assert row is not None
    return Commit(*row[:3]), row[3]


def _follows(found: Commit, last: Commit | None, known_now: UUID | None) -> bool:
    if last is None:
        return True
    return found.store_id == last.store_id and found.number >= last.number and known_now == last.mark


def _read(path: Path) -> Commit | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) != _FORMAT.size + _CHECKSUM.size:
        return None
    if _CHECKSUM.unpack(content[_FORMAT.size :]) != (zlib.crc32(content[: _FORMAT.size]),):
        return None
    number, mark, store_id = _FORMAT.unpack(content[: _FORMAT.size])
    return Commit(store_id.decode("ascii", "replace"), number, UUID(bytes=mark))
