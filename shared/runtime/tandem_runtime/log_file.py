"""A log file that several processes append to, and that one of them rotates.

Each write looks whether the path still names the open file. So an outside logrotate may rename or remove the file at
any time, and needs no signal. A lock of the file keeps the lines of two processes apart, and a failed write leaves no
half line: it takes back what it has written.
"""

import fcntl
import os
import stat
from pathlib import Path
from typing import Final

_MODE: Final = 0o600
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class LogFile:
    """Appends to a file, which only its owner may read. Its methods block, and belong to one thread at a time."""

    def __init__(self, path: Path, max_bytes: int = 0, kept: int = 0) -> None:
        """Make it; ``check`` or the first ``append`` opens the file.

        Args:
            path: of the file; older ones get ``.1``, ``.2`` and so on.
            max_bytes: size that the file does not exceed, unless one write does; 0 never rotates.
            kept: number of older files; with 0, a full file is removed.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._fd = -1

    def check(self) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be written, or is no regular file.
        """
        self._open()

    def append(self, data: bytes) -> None:
        """Append whole lines: all of them, or none.

        Raises:
            OSError: they cannot be written.
        """
        self._open()
        try:
            size = self._lock()
            if self._max_bytes and size and size + len(data) > self._max_bytes:
                self._rotate()
                self.close()
                self._open()
                size = self._lock()
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(self._fd, left) :]
            except OSError:
                os.ftruncate(self._fd, size)
                raise
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError:
            self.close()  # which also unlocks
            raise

    def close(self) -> None:
        """Close the file; the next ``append`` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        """Open the file that the path names, if it is not open."""
        if self._fd >= 0:
            try:
                found = os.stat(self._path, follow_symlinks=False)
            except FileNotFoundError:
                found = None
            if found is not None and os.path.samestat(found, os.fstat(self._fd)):
                return
            self.close()
        fd = os.open(self._path, _FLAGS, _MODE)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(0, "is no regular file")
        self._fd = fd

    def _lock(self) -> int:
        """Lock the open file against other processes, and return its size."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        if not self._kept:
            self._path.unlink()

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")
