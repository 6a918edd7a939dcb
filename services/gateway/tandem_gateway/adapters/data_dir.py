"""The data directory itself: nobody but its owner may read it."""

import contextlib
import os
import stat
from pathlib import Path

_OWN_NAMES = ("tandem.sqlite3", "committed", "lexical.sqlite3", "index", "gateway.lock", "snapshot.lock")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private(data_dir: Path) -> list[Path]:
    """Take from other users what they may do with the data, and return the paths whose mode was changed.

    What the gateway makes is private by its umask; this is for what an older release has made. A path of another
    owner stays as it is: a volume may belong to its storage's driver. So does the directory itself if it holds more
    than the gateway's own files, which other programs may need.
    """
    ours = [path for path in data_dir.iterdir() if path.name.startswith(_OWN_NAMES) and not path.is_symlink()]
    if len(ours) == len(list(data_dir.iterdir())):
        ours.append(data_dir)
    changed = []
    for path in ours:
        with contextlib.suppress(OSError):  # the file is gone, or its file system has no modes
            found = path.stat()
            if found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
                path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
                changed.append(path)
    return changed
