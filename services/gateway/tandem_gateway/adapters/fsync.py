"""Getting files and folders on to the disk."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when a file's content, or a folder's entries, are on the disk; blocks."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
