"""Permissions of the data directory: only its owner may read it."""

import contextlib
import os
import stat
from pathlib import Path

_OWN_NAMES = (
    "tandem.sqlite3", "committed", "clean-stop.json", "lexical.sqlite3", "index", "gateway.lock", "snapshot.lock",
    "access.db", "access.secret", "moving",
)  # fmt: skip
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private(data_dir: Path) -> list[Path]:
    """Remove other users' permissions on the gateway's files, and return the paths whose mode was changed.

    The gateway's umask makes new files private; this function repairs the files of older releases. It skips paths of
    another owner, because a volume may belong to the storage driver. It skips the directory itself if that holds other
    files, because other programs may need them.
    """
    ours = [path for path in data_dir.iterdir() if path.name.startswith(_OWN_NAMES) and not path.is_symlink()]
    if len(ours) == len(list(data_dir.iterdir())):
        ours.append(data_dir)
    changed = []
    for path in ours:
        with contextlib.suppress(OSError):  # the file was deleted, or its file system has no modes
            found = path.stat()
            if found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
                path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
                changed.append(path)
    return changed
