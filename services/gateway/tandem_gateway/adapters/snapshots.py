"""Snapshots of the index on disk: written beside, synced, renamed; verified before they are loaded.

A collection's folder, ``index/<collection id>/``, holds ``<position>-<random>.usearch`` and ``manifest.json``, which
names it. The manifest is replaced last, in one rename, so that it always names a complete file. usearch crashes on a
damaged file, hence nothing is loaded whose SHA-256 is not the manifest's.
"""

import hashlib
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.errors import NoSnapshotYet, SnapshotUnusable
from tandem_gateway.model import SNAPSHOT_FORMAT, SnapshotManifest
from tandem_gateway.ports import VectorIndex, VectorIndexFactory

FOLDER_NAME = "index"
_MANIFEST_NAME = "manifest.json"


class _SealedManifest(msgspec.Struct, frozen=True):
    manifest: SnapshotManifest
    sha256: str
    """Of the manifest's JSON: a flipped digit in it must not pass for another snapshot."""


def _seal(manifest: SnapshotManifest) -> str:
    return hashlib.sha256(msgspec.json.encode(manifest)).hexdigest()


class Snapshots:
    """The snapshots of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / FOLDER_NAME

    def manifest(self, collection_id: int) -> SnapshotManifest:
        """Return a collection's manifest.

        Raises:
            SnapshotUnusable: if it is missing, damaged or of another format.
        """
        path = self._folder(collection_id) / _MANIFEST_NAME
        try:
            sealed = msgspec.json.decode(path.read_bytes(), type=_SealedManifest)
        except FileNotFoundError:
            if path.parent.is_dir():
                raise SnapshotUnusable(f"{path.name} is missing") from None
            raise NoSnapshotYet("no snapshot was taken yet") from None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotUnusable(f"{path.name} is damaged ({error})") from error
        if _seal(sealed.manifest) != sealed.sha256:
            raise SnapshotUnusable(f"{path.name} is damaged (its checksum is wrong)")
        if sealed.manifest.format != SNAPSHOT_FORMAT:
            raise SnapshotUnusable(f"{path.name} has format {sealed.manifest.format}, not {SNAPSHOT_FORMAT}")
        return sealed.manifest

    def load(self, manifest: SnapshotManifest, factory: VectorIndexFactory) -> VectorIndex:
        """Return the index of a snapshot, once its file is proved to be the one that was written.

        Raises:
            SnapshotUnusable: if the file is missing, damaged, or made by another version of the library.
        """
        path = self._folder(manifest.collection_id) / manifest.file
        if manifest.description != factory.description():
            raise SnapshotUnusable(f"it was made by {manifest.description}, this is {factory.description()}")
        try:
            size = path.stat().st_size
            if size != manifest.bytes:
                raise SnapshotUnusable(f"{path.name} has {size} bytes, not {manifest.bytes}")
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != manifest.sha256:
                raise SnapshotUnusable(f"{path.name} is damaged (its checksum is wrong)")
            index = factory.load(path, manifest.dim)
        except (OSError, ValueError) as error:
            raise SnapshotUnusable(f"{path.name} cannot be loaded ({error})") from error
        if len(index) != manifest.count:
            raise SnapshotUnusable(f"{path.name} holds {len(index)} vectors, not {manifest.count}")
        return index

    def publish(self, index: VectorIndex, manifest: SnapshotManifest) -> SnapshotManifest:
        """Write an index and make it the collection's snapshot.

        Args:
            index: what to save.
            manifest: ``file``, ``bytes``, ``sha256`` and ``count`` are filled in here.

        Returns:
            The manifest as written.

        Raises:
            OSError: if the disk is full or read-only; the former snapshot is untouched.
        """
        folder = self._folder(manifest.collection_id)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{manifest.position}-{secrets.token_hex(4)}.usearch"
        manifest_path = folder / _MANIFEST_NAME
        temporary = folder / f"{_MANIFEST_NAME}.{secrets.token_hex(4)}.tmp"
        try:
            try:
                index.save(path)
            except RuntimeError as error:
                raise OSError(f"{path}: {error}") from error
            sync(path)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            written = msgspec.structs.replace(
                manifest, file=path.name, bytes=path.stat().st_size, sha256=digest, count=len(index)
            )
            temporary.write_bytes(msgspec.json.encode(_SealedManifest(written, _seal(written))))
            sync(temporary)
            temporary.rename(manifest_path)
        except BaseException:
            path.unlink(missing_ok=True)
            temporary.unlink(missing_ok=True)
            raise
        # From here on the manifest names the new file. Until the folder is synced a loss of power may bring back the
        # former manifest, whose file is therefore swept only afterwards.
        sync(folder)
        self._sweep(folder, keep={path.name, _MANIFEST_NAME})
        return written

    def remove_strangers(self, collection_ids: Iterable[int]) -> list[str]:
        """Remove the folders of collections that are no more, and return their names."""
        if not self._root.is_dir():
            return []
        known = {str(number) for number in collection_ids}
        strangers = [folder for folder in self._root.iterdir() if folder.name not in known]
        for folder in strangers:
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
            else:
                folder.unlink(missing_ok=True)
        return sorted(folder.name for folder in strangers)

    def _folder(self, collection_id: int) -> Path:
        return self._root / str(collection_id)

    @staticmethod
    def _sweep(folder: Path, keep: set[str]) -> None:
        for path in folder.iterdir():
            if path.name not in keep:
                path.unlink(missing_ok=True)
