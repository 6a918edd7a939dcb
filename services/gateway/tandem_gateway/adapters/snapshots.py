"""Snapshots of indexes on disk: replaced atomically, and verified before they are loaded.

A space's folder, ``index/<space id>/``, holds:

- the graphs, ``<position>-<random>.0.usearch`` (and ``.1``),
- the arrays that belong to them, ``<position>-<random>.npz``,
- ``manifest.json``, which names these files.

A save writes and syncs new files, and then replaces the manifest by one rename. The manifest therefore always names
complete files. usearch crashes on a damaged file, so each file's SHA-256 is compared with the manifest before it is
loaded.
"""

import contextlib
import hashlib
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.errors import NoSnapshotYet, SnapshotOutdated, SnapshotUnusable
from tandem_gateway.ports.index import GraphFactory, SavedBase
from tandem_gateway.records.index import SNAPSHOT_FORMAT, SnapshotFile, SnapshotManifest

FOLDER_NAME = "index"
_MANIFEST_NAME = "manifest.json"
_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}\.(?:[0-9]\.usearch|npz)")


class _SealedManifest(msgspec.Struct, frozen=True):
    manifest: SnapshotManifest
    sha256: str
    """Checksum of the manifest's JSON: a flipped digit must not turn it into a valid but different manifest."""


class _Format(msgspec.Struct):
    format: int


class _AnyManifest(msgspec.Struct):
    """The fields that the manifests of all releases have."""

    manifest: _Format


def _checksum(manifest: SnapshotManifest) -> str:
    return hashlib.sha256(msgspec.json.encode(manifest)).hexdigest()


class Snapshots:
    """The snapshots of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / FOLDER_NAME

    @property
    def any(self) -> bool:
        """Whether there is a folder of a space."""
        return self._root.is_dir() and any(self._root.iterdir())

    def remove_all(self) -> None:
        """Remove the snapshots of all spaces."""
        if self._root.is_dir():
            shutil.rmtree(self._root)

    def manifest(self, space_id: int) -> SnapshotManifest:
        """Return a space's manifest.

        Raises:
            SnapshotUnusable: the manifest is missing, damaged or of another format.
        """
        path = self._folder(space_id) / _MANIFEST_NAME
        try:
            content = path.read_bytes()
            found = msgspec.json.decode(content, type=_AnyManifest).manifest.format
            if found != SNAPSHOT_FORMAT:
                raise SnapshotOutdated(f"{path.name} has format {found}, this release reads {SNAPSHOT_FORMAT}")
            sealed = msgspec.json.decode(content, type=_SealedManifest)
        except FileNotFoundError:
            if path.parent.is_dir():
                raise SnapshotUnusable(f"{path.name} is missing") from None
            raise NoSnapshotYet("no snapshot was taken yet") from None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotUnusable(f"{path.name} is damaged ({error})") from error
        if _checksum(sealed.manifest) != sealed.sha256:
            raise SnapshotUnusable(f"{path.name} is damaged (its checksum is wrong)")
        return sealed.manifest

    def load(self, manifest: SnapshotManifest, factory: GraphFactory, *, writable: bool) -> SavedBase:
        """Verify the checksums of a snapshot's files, and return the base in it.

        Raises:
            SnapshotUnusable: a file is missing or damaged, or another version of the library wrote the graphs.
        """
        if manifest.description != factory.description():
            raise SnapshotOutdated(f"it was made by {manifest.description}, this is {factory.description()}")
        folder = self._folder(manifest.space_id)
        if not manifest.files:
            raise SnapshotUnusable("it names no files")
        try:
            for file in manifest.files:
                _verify(folder / file.name, file)
            *graphs, arrays = [folder / file.name for file in manifest.files]
            with np.load(arrays, allow_pickle=False) as stored:
                loaded = {name: stored[name] for name in stored.files}
            return SavedBase([factory.load(path, manifest.dim, writable=writable) for path in graphs], loaded)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise SnapshotUnusable(f"it cannot be loaded ({error})") from error

    def publish(self, base: SavedBase, manifest: SnapshotManifest) -> SnapshotManifest:
        """Write a base and make it the space's snapshot.

        Args:
            base: base to save.
            manifest: manifest of the snapshot; this method sets its ``files``.

        Returns:
            The manifest as written.

        Raises:
            OSError: the disk is full or read-only. The previous snapshot is untouched.
        """
        folder = self._folder(manifest.space_id)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{manifest.position}-{secrets.token_hex(4)}"
        paths = [folder / f"{name}.{place}.usearch" for place in range(len(base.graphs))]
        arrays = folder / f"{name}.npz"
        try:
            for path, graph in zip(paths, base.graphs, strict=True):
                try:
                    graph.save(path)
                except RuntimeError as error:
                    raise OSError(f"{path}: {error}") from error
            with arrays.open("wb") as file:
                np.savez(file, allow_pickle=False, **base.arrays)
            files = [_written(path) for path in (*paths, arrays)]
            written = msgspec.structs.replace(manifest, files=files)
            self._replace(folder, written)
        except BaseException:
            for path in (*paths, arrays):
                path.unlink(missing_ok=True)
            raise
        self._settle(folder, written)
        return written

    def receive(self, manifest: SnapshotManifest, fetch: Callable[[SnapshotFile, Path], None]) -> None:
        """Make another gateway's snapshot the space's; see ``SnapshotStore.receive``."""
        folder = self._folder(manifest.space_id)
        for file in manifest.files:
            if not _NAME.fullmatch(file.name):
                raise SnapshotUnusable(f"it names a file {file.name!r}")
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / file.name for file in manifest.files]
        try:
            for path, file in zip(paths, manifest.files, strict=True):
                fetch(file, path)
                sync(path)
                _verify(path, file)
            self._replace(folder, manifest)
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                folder.rmdir()  # if it had no snapshot before
            raise
        self._settle(folder, manifest)

    def path(self, manifest: SnapshotManifest, file: SnapshotFile) -> Path:
        """Return where a file of a snapshot is."""
        return self._folder(manifest.space_id) / file.name

    def remove(self, space_id: int) -> None:
        """Delete a space's snapshot, if it has one."""
        shutil.rmtree(self._folder(space_id), ignore_errors=True)

    def remove_orphans(self, space_ids: Iterable[int]) -> list[str]:
        """Delete snapshot folders whose space is not in ``space_ids``; return the folders' names."""
        if not self._root.is_dir():
            return []
        known = {str(number) for number in space_ids}
        orphans = [folder for folder in self._root.iterdir() if folder.name not in known]
        for folder in orphans:
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)
            else:
                folder.unlink(missing_ok=True)
        return sorted(folder.name for folder in orphans)

    def _folder(self, space_id: int) -> Path:
        return self._root / str(space_id)

    @staticmethod
    def _replace(folder: Path, manifest: SnapshotManifest) -> None:
        temporary = folder / f"{_MANIFEST_NAME}.{secrets.token_hex(4)}.tmp"
        try:
            temporary.write_bytes(msgspec.json.encode(_SealedManifest(manifest, _checksum(manifest))))
            sync(temporary)
            temporary.rename(folder / _MANIFEST_NAME)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _settle(self, folder: Path, manifest: SnapshotManifest) -> None:
        # Now the manifest names the new files. Until the folder is synced, a power loss may bring back the previous
        # manifest. So delete its files only after the sync. A gateway that has them mapped can still read them.
        sync(folder)
        self._sweep(folder, keep={*(file.name for file in manifest.files), _MANIFEST_NAME})

    @staticmethod
    def _sweep(folder: Path, keep: set[str]) -> None:
        for path in folder.iterdir():
            if path.name not in keep:
                path.unlink(missing_ok=True)


def _written(path: Path) -> SnapshotFile:
    """Sync a file that was just written, and return its name, size and checksum."""
    sync(path)
    return SnapshotFile(path.name, path.stat().st_size, _sha256(path))


def _verify(path: Path, file: SnapshotFile) -> None:
    """Check a file's size and checksum.

    Raises:
        SnapshotUnusable: the size or the checksum is wrong.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size != file.bytes:
        raise SnapshotUnusable(f"{path.name} has {size} bytes, not {file.bytes}")
    if _sha256(path) != file.sha256:
        raise SnapshotUnusable(f"{path.name} is damaged (its checksum is wrong)")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
