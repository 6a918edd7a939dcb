"""Shared files in a folder of a volume that all gateways mount."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.errors import StorageUnavailable

_PIECE_BYTES: Final = 4 << 20
_PART: Final = ".part"


class SharedFolder:
    """Implements ``SharedFiles``."""

    def __init__(self, root: Path) -> None:
        """Use the folder ``root``, which must exist: a volume that is not mounted is no place to write to."""
        self._root = root
        self._stopped = threading.Event()

    def write(self, name: str, source: Path) -> None:
        """Store a file; it gets its name once it is complete and on the disk."""
        target = self._root / name
        part = target.with_name(target.name + _PART)
        with _translated(self._root):
            self._root.stat()
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as content, part.open("wb") as copy:
                for piece in self._pieces(content):
                    copy.write(piece)
            sync(part)
            part.rename(target)
            sync(target.parent)

    def read(self, name: str) -> Iterator[bytes]:
        """Return the content of a file in pieces."""
        with _translated(self._root), (self._root / name).open("rb") as content:
            yield from self._pieces(content)

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in a folder."""
        with _translated(self._root):
            found = [path for path in (self._root / folder).rglob("*") if path.is_file()]
            return sorted(path.relative_to(self._root).as_posix() for path in found)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, and the folders that are empty then."""
        with _translated(self._root):
            for name in names:
                path = self._root / name
                path.unlink(missing_ok=True)
                if path.parent.is_dir() and not any(path.parent.iterdir()):
                    path.parent.rmdir()

    def stop(self) -> None:
        """Make all reads and writes fail."""
        self._stopped.set()

    def _pieces(self, content: BinaryIO) -> Iterator[bytes]:
        while piece := content.read(_PIECE_BYTES):
            if self._stopped.is_set():
                raise StorageUnavailable("the gateway is shutting down")
            yield piece


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(
            f"the shared snapshots cannot be read or written: {error.strerror}", detail=f"{root}: {error}"
        ) from error
