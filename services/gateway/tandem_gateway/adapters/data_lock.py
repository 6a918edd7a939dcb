"""Who owns the data directory: one gateway, or one maintenance command; beside them at most one snapshot helper."""

import fcntl
import os
import time
from pathlib import Path

from tandem_gateway.errors import StorageInUse, StorageUnavailable

OWNER = "gateway.lock"
SNAPSHOT = "snapshot.lock"


class DataLock:
    """An exclusive lock on a file, which the kernel lets go of when the process ends, however it ends."""

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
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageUnavailable(f"the data directory cannot be used: {error}") from error
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                holder = os.pread(self._file, 32, 0).decode(errors="replace").strip()
                os.close(self._file)
                raise StorageInUse(f"{data_dir} is in use by process {holder or '?'} ({path}); stop it first") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._file)
