"""The folder in which a move makes a store, until the data directory gets it whole.

A data directory with this folder has an unfinished move, and no gateway opens it. The store is made and checked in the
folder. Each of its files then gets a second name in the data directory, by a hard link. Last, the folder is renamed:
at that moment the move has ended. Whatever was linked before is recognised as the folder's own file, so that a move
that starts again removes nothing else.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.adapters.sqlite import clean_stop, commit_watermark, key_secret
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.key_store import FILE_NAME as KEYS_NAME
from tandem_gateway.errors import StorageUnavailable

FOLDER_NAME: Final = "moving"
_DONE_NAME: Final = "moved"
_PUBLISHED: Final = (key_secret.FILE_NAME, KEYS_NAME, commit_watermark.FILE_NAME, FILE_NAME)
_OF_A_STORE: Final = (*_PUBLISHED, f"{FILE_NAME}-wal", f"{KEYS_NAME}-wal", clean_stop.FILE_NAME)


def refuse_unfinished(data_dir: Path) -> None:
    """Check that no move into a data directory is unfinished, and remove what a move that ended has left.

    Raises:
        StorageUnavailable: one is.
    """
    if (data_dir / FOLDER_NAME).exists():
        raise StorageUnavailable(
            f"a move into {data_dir} has not ended: run `python -m tandem_gateway move --to directory` again, or give "
            "it up by adding --discard"
        )
    shutil.rmtree(data_dir / _DONE_NAME, ignore_errors=True)


def begin(data_dir: Path) -> Path:
    """Return the empty folder, in a data directory without a store. The caller has locked the directory.

    Raises:
        StorageUnavailable: the data directory holds a store.
    """
    discard(data_dir)
    found = [name for name in _OF_A_STORE if os.path.lexists(data_dir / name)]
    if found:
        raise StorageUnavailable(
            f"{data_dir} is not empty: it holds {', '.join(found)}; a move needs an empty directory"
        )
    folder = data_dir / FOLDER_NAME
    folder.mkdir(mode=0o700)
    sync(data_dir)
    return folder


def discard(data_dir: Path) -> bool:
    """Remove the folder and what was linked from it; return whether there was one."""
    shutil.rmtree(data_dir / _DONE_NAME, ignore_errors=True)
    folder = data_dir / FOLDER_NAME
    if not folder.exists():
        return False
    for name in _PUBLISHED:
        ours, linked = folder / name, data_dir / name
        if ours.exists() and linked.exists() and ours.samefile(linked):
            linked.unlink()
    sync(data_dir)
    shutil.rmtree(folder)
    sync(data_dir)
    return True


def publish(data_dir: Path) -> None:
    """Make the folder's files those of the data directory; they are complete and on the disk.

    Raises:
        OSError: the file system has no hard links, or a file is there by now.
    """
    folder = data_dir / FOLDER_NAME
    sync(folder)
    for name in _PUBLISHED:
        if (folder / name).exists():
            os.link(folder / name, data_dir / name)
    sync(data_dir)
    folder.rename(data_dir / _DONE_NAME)
    sync(data_dir)
    shutil.rmtree(data_dir / _DONE_NAME, ignore_errors=True)
