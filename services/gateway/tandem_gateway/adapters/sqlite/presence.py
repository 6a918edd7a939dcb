"""Whether the store's files are still those that were opened.

A process can go on writing to a file that it has open after the file was removed or replaced. All of it is gone when
the file is closed. SQLite does not check.
"""

import os
from pathlib import Path

from tandem_gateway.errors import StorageUnavailable


class Presence:
    """Remembers a store's database and write-ahead log; any thread may ask."""

    def __init__(self, path: Path) -> None:
        """Remember the files of the store in ``path``, which is open."""
        self._opened = {each: _identity(each) for each in (path, path.with_name(f"{path.name}-wal"))}

    def check(self) -> None:
        """Check that both files are where they were; costs two system calls.

        Raises:
            StorageUnavailable: if one is gone or another file is in its place.
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
