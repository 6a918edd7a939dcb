"""Who owns the data directory: one gateway, or one maintenance command; beside them at most one snapshot helper."""

import fcntl
import os
import stat
import time
from pathlib import Path

from tandem_gateway.errors import StorageInUse, StorageUnavailable

OWNER = "gateway.lock"
SNAPSHOT = "snapshot.lock"


class DataLock:
    """An exclusive lock, which the kernel lets go of when the process ends, however it ends.

    It is on a file, which names the holder. The owner's is on the directory as well: removing the file does not let a
    second owner in.
    """

    def __init__(self, data_dir: Path, name: str, *, wait: float = 0.0) -> None:
        """Take the lock.

        Args:
            data_dir: made if it is missing.
            name: ``OWNER`` or ``SNAPSHOT``.
            wait: seconds to wait for another holder.

        Raises:
            StorageInUse: if another process holds it; the message has its process id.
            StorageUnavailable: if the directory cannot be written.
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
        """Let go of the lock."""
        for file in self._files:
            os.close(file)


def _lock(file: int, deadline: float) -> None:
    """Lock a file or a directory.

    Raises:
        BlockingIOError: if another process holds the lock until the deadline.
        OSError: if the file system has no locks.
    """
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        except OSError:
            # NFS locks what is open for writing only, which a directory cannot be; there the file alone is locked.
            if stat.S_ISDIR(os.fstat(file).st_mode):
                return
            raise
        time.sleep(0.02)
