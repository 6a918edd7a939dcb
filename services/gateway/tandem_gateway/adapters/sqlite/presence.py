"""Checks that the store's files are still the files that the gateway opened.

After a file was removed or replaced, a process that has it open can still write to it. Those writes are lost when the
process closes the file. SQLite does not check this.
"""

import os
from pathlib import Path

from tandem_gateway.errors import StorageUnavailable


class Presence:
    """Remembers the identity of a store's database and write-ahead log; any thread may call ``check``."""

    def __init__(self, path: Path) -> None:
        """Remember the files of the store at ``path``, which must be open."""
        self._opened = {each: _identity(each) for each in (path, path.with_name(f"{path.name}-wal"))}

    def check(self) -> None:
        """Check that both files are still in place; costs two system calls.

        Raises:
            StorageUnavailable: if a file was removed or replaced.
        """
        for path, opened in self._opened.items():
            if _identity(path) != opened:
                raise StorageUnavailable(
                    "the store's files were removed or replaced while the gateway ran: nothing is written or read any "
                    "more. Stop the gateway and restore a backup",
                    detail=f"{path} was removed or replaced while the gateway ran; stop it and restore a backup",
                )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
