"""Atomic publication: a prepared model appears complete or not at all.

The preparation builds it in a hidden sibling folder of ``out``, on the same file system. It writes the manifest last,
flushes everything to disk, and renames the folder into place. A killed preparation leaves only such a sibling behind.
The next preparation, which holds the lock of the parent folder, removes it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tandem_embedder.model.prepared_model import MANIFEST_NAME, Manifest, read_manifest, verify_file
from tandem_embedder.prepare.errors import PublishError

KNOWN_ANSWERS_NAME = "known_answers.json"
TOKENIZER_NAME = "tokenizer.json"
_OWN_NAMES = frozenset({MANIFEST_NAME, KNOWN_ANSWERS_NAME, TOKENIZER_NAME, "fp32", "int8"})


def read_complete(folder: Path) -> Manifest | None:
    """Verify every file of the prepared model in ``folder`` and return its manifest.

    Returns None if the folder is missing or empty.

    Raises:
        PreparedModelError: if the prepared model is damaged or unfinished.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    manifest = read_manifest(folder)
    records = {TOKENIZER_NAME: manifest.tokenizer, KNOWN_ANSWERS_NAME: manifest.known_answers}
    for variant in manifest.variants.values():
        records |= variant.files
    for name, record in records.items():
        verify_file(folder, name, record)
    return manifest


def check_replaceable(folder: Path) -> None:
    """Check that ``folder`` may be replaced: it is missing, or contains only files of a prepared model.

    Raises:
        PublishError: if it is a file, or contains anything that does not belong to a prepared model.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise PublishError(f"{folder} is in the way: it is no folder")
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in _OWN_NAMES)
    if foreign:
        raise PublishError(f"{folder} is in the way: it holds {foreign[0]}, which no prepared model does")


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """Create an empty sibling folder of ``out`` to build in, and remove it at the end unless it was published.

    The caller must hold the lock of ``out``'s parent. Leftovers of earlier preparations are then orphans, and this
    function removes them.
    """
    prefix = f".{out.name}.preparing-"
    for leftover in out.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staged: Path, out: Path, manifest: Manifest) -> None:
    """Write ``manifest`` into ``staged``, flush everything to disk, and move the folder to ``out``.

    Raises:
        PublishError: if the file system reports an error; ``out`` is then unchanged.
    """
    try:
        (staged / MANIFEST_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        # mkdtemp makes folders that only their owner can read, but the embedder may run as another user.
        staged.chmod(0o755)
        _flush(staged)
        _swap(staged, out)
        _flush_folder(out.parent)
    except OSError as error:
        raise PublishError(f"{out} cannot be written: {error.strerror or error}") from error


def _swap(staged: Path, out: Path) -> None:
    if not out.exists():
        staged.rename(out)
        return
    # rename cannot replace a non-empty folder, so move the old one aside first.
    aside = staged.with_name(f"{staged.name}.old")
    out.rename(aside)
    try:
        staged.rename(out)
    except OSError:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            _flush_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
