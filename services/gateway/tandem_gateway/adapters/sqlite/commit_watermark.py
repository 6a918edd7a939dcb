"""The high-water mark: the number of the last commit, in a small file beside the database.

SQLite ends the replay of its log at the first damaged frame and says nothing: commits that were acknowledged would be
missing without a sign. A log lost as a whole looks like an older, sound database. So each commit writes its number,
which is also in the database, to this file afterwards; a database that knows fewer commits than the mark has lost some.

The mark is not synced: after a loss of power it may be behind the database, never ahead of it.

A database whose log may hold commits (its header says WAL) always has a mark: a start writes the mark before it turns
the log on, and a stop turns the log off. Without a mark such a database may have lost anything.
"""

import os
import struct
import zlib
from pathlib import Path

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.errors import StorageUnavailable

FILE_NAME = "committed"

_FORMAT = struct.Struct("<QI")


class CommitWatermark:
    """Writes the mark; one writer at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file in ``path``, or make it.

        Raises:
            StorageUnavailable: if that is not possible.
        """
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._file, _FORMAT.size)  # a damaged one may be longer
        except OSError as error:
            raise StorageUnavailable(f"{path} cannot be written: {error.strerror}") from error

    def write(self, commit: int) -> None:
        """Note that commit number ``commit`` is done."""
        number = commit.to_bytes(8, "little")
        os.pwrite(self._file, number + zlib.crc32(number).to_bytes(4, "little"), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def create_mark(path: Path, commit: int) -> None:
    """Write the file, and return when it is on the disk.

    Raises:
        StorageUnavailable: if it cannot be written.
    """
    mark = CommitWatermark(path)
    try:
        mark.write(commit)
        sync(path)
        sync(path.parent)
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        mark.close()


def read_mark(path: Path) -> int | None:
    """Return the number in the file; None if it is missing or damaged, so that nothing can be said.

    Raises:
        StorageUnavailable: if it is no file, or may not be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(content) != _FORMAT.size:
        return None
    number, checksum = _FORMAT.unpack(content)
    return int(number) if zlib.crc32(content[:8]) == checksum else None
