"""An exclusive lock on a folder, also between processes.

The lock is ``flock`` on the folder itself. It leaves no file behind, and the kernel releases it when the process ends,
however it ends.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lock ``folder`` until the end of the block. Blocks while another process or task holds the lock.

    Args:
        folder: folder to lock; created if it is missing. Its content is not changed.
        waiting: called once if the lock is not free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
