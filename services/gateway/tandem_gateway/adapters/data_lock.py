"""Locks on the data directory: one owner, a gateway or a maintenance command, and at most one snapshot helper."""

import fcntl
import os
import stat
import time
from pathlib import Path

from tandem_gateway.errors import StorageInUse, StorageUnavailable

OWNER = "gateway.lock"
SNAPSHOT = "snapshot.lock"


class DataLock:
    """An exclusive lock, which the kernel releases when the process ends, even after a crash.

    The lock is on a file that contains the holder's process id. The owner also locks the directory, so that a second
    owner cannot get in after the file was removed.
    """

    def __init__(self, data_dir: Path, name: str, *, wait: float = 0.0) -> None:
        """Take the lock.

        Args:
            data_dir: data directory; created if it is missing.
            name: ``OWNER`` or ``SNAPSHOT``.
            wait: maximum seconds to wait for another holder; blocks.

        Raises:
            StorageInUse: another process holds the lock; the message has its process id.
            StorageUnavailable: the directory cannot be written or locked.
        """
        path = data_dir / name
        self._files: list[int] = []
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._files.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            if name == OWNER:
                self._files.append(os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            self.release()
            raise StorageUnavailable(f"the data directory cannot be used: {error}") from error
        deadline = time.monotonic() + wait
        try:
            for file in self._files:
                _lock(file, deadline)
        except BlockingIOError:
            holder = os.pread(self._files[0], 32, 0).decode(errors="replace").strip()
            self.release()
            raise StorageInUse(f"{data_dir} is in use by process {holder or '?'} ({path}); stop it first") from None
        except OSError as error:
            self.release()
            raise StorageUnavailable(f"the data directory cannot be locked: {error}") from error
        os.ftruncate(self._files[0], 0)
        os.pwrite(self._files[0], f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        for file in self._files:
            os.close(file)


def _lock(file: int, deadline: float) -> None:
    """Lock a file or a directory.

    Raises:
        BlockingIOError: another process holds the lock until the deadline.
        OSError: the file system does not support locks.
    """
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        except OSError:
            # NFS locks only files that are open for writing, which a directory cannot be. There, lock only the file.
            if stat.S_ISDIR(os.fstat(file).st_mode):
                return
            raise
        time.sleep(0.02)
