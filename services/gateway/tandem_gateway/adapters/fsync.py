"""Makes files and folders durable with fsync."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Block until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
