"""The record of a clean stop: which file the gateway closed, so that the next start need not read all of it again.

The record names the database's inode, size and times. If the file has others, somebody has changed, copied or restored
it, and the start checks every row. A start removes the record before it writes, so that a killed gateway leaves none.
The background scrub finds what decays on the disk without a change of these numbers; see ``scrub``.
"""

from pathlib import Path

import msgspec

from tandem_gateway.adapters.fsync import sync

FILE_NAME = "clean-stop.json"


class CleanStop(msgspec.Struct, frozen=True):
    """The database at a clean stop; times are in nanoseconds since the epoch."""

    commit: int
    inode: int
    bytes: int
    modified: int
    changed: int


_decoder = msgspec.json.Decoder(CleanStop)


def write(path: Path, commit: int) -> None:
    """Record that the database at ``path`` was closed after a commit, and that it has no write-ahead log.

    Raises:
        OSError: if the record cannot be written; the next start then checks every row.
    """
    if path.with_name(f"{path.name}-wal").exists():
        return
    sync(path)
    record = path.with_name(FILE_NAME)
    record.touch(mode=0o600)
    record.write_bytes(msgspec.json.encode(_stop(path, commit)))
    sync(record)
    sync(path.parent)


def take(path: Path, commit: int | None) -> bool:
    """Remove the record, and return whether the database at ``path`` is the one that was closed after ``commit``."""
    record = path.with_name(FILE_NAME)
    try:
        found = record.read_bytes()
        record.unlink()
        sync(record.parent)
        if commit is None or path.with_name(f"{path.name}-wal").exists():
            return False
        return _decoder.decode(found) == _stop(path, commit)
    except (OSError, msgspec.MsgspecError):
        return False


def _stop(path: Path, commit: int) -> CleanStop:
    found = path.stat()
    return CleanStop(commit, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
