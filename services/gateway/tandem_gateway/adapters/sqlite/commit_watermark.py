"""The high-water mark: the number of the last commit, in a small file beside the database.

SQLite silently ends the replay of its write-ahead log at the first damaged frame, so acknowledged commits could be lost
unnoticed. If the whole log is lost, the database looks like an older, sound one. Each commit increments a number in the
database, and the writer then writes it to this file. A database whose number is below the mark has lost commits.

The writer does not sync the mark. After a power failure it may be behind the database, never ahead of it.

A database whose log may hold commits (its header says WAL) always has a mark: startup writes the mark before it enables
the log, and shutdown disables the log. Without a mark, such a database may have lost any commit.
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
    """Writes the mark. Only one writer at a time may use the file."""

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``, or create it.

        Raises:
            StorageUnavailable: if the file cannot be written.
        """
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._file, _FORMAT.size)  # a damaged file may be longer
        except OSError as error:
            raise StorageUnavailable(f"{path} cannot be written: {error.strerror}") from error

    def write(self, commit: int) -> None:
        """Record that commit number ``commit`` is complete."""
        number = commit.to_bytes(8, "little")
        os.pwrite(self._file, number + zlib.crc32(number).to_bytes(4, "little"), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def create_mark(path: Path, commit: int) -> None:
    """Write the file and sync it to disk.

    Raises:
        StorageUnavailable: if the file cannot be written.
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
    """Return the number in the file; None if the file is missing or damaged.

    Raises:
        StorageUnavailable: if the path is not a file, or reading it is not permitted.
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
