"""Snapshots that gateways share: one gateway builds and publishes them, and the others load them.

A publication has three steps: the files get names that were never used; they are read back and compared with their
checksums; then a row in the store publishes them. A builder that ends in between leaves files without a row, which the
next one removes. It may remove files that a builder of an earlier term is writing: the store refuses their row.

Whoever loads compares everything with the row: the files with their checksums, the manifest with its own, the store and
its history, and the library that reads the graphs.
"""

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from tandem_gateway.errors import GatewayError, SnapshotUnusable, StorageUnavailable, for_log
from tandem_gateway.ports.index import GraphFactory, SnapshotStore
from tandem_gateway.ports.shared_snapshots import SharedFiles, SnapshotRegistry
from tandem_gateway.records.index import (
    SNAPSHOT_FORMAT,
    NewSnapshot,
    Publication,
    PublishedSnapshot,
    SnapshotFile,
    SnapshotManifest,
)

log = logging.getLogger(__name__)

Outcome = Literal["published", "loaded", "refused", "failed"]

KEPT_SECONDS: Final = 3600.0
"""A snapshot stays so long after a newer one was published, for gateways that load it."""
_MOST: Final = 4
"""Maximum number of snapshots of a space that stay."""
LEASE_SECONDS: Final = 30.0
# A refused snapshot is looked at again after this time: its files may have been away for a moment.
_RETRY_SECONDS: Final = 300.0
_FOLDER: Final = re.compile(r"[^/]+/[0-9]+/[0-9a-f]{16}")


@dataclass(slots=True)
class _Lease:
    term: int
    until: float
    """``time.monotonic()``; earlier than the end by the store's clock."""


class SharedSnapshots:
    """Publishes and loads snapshots; see the module. Any thread may use it; its calls block."""

    def __init__(
        self,
        registry: SnapshotRegistry,
        files: SharedFiles,
        snapshots: SnapshotStore,
        factory: GraphFactory,
        *,
        note: Callable[[Outcome], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Share the snapshots of a gateway.

        Args:
            registry: see ``SnapshotRegistry``.
            files: see ``SharedFiles``.
            snapshots: those of this gateway's data directory.
            factory: of their graphs.
            note: called with what became of each snapshot.
            clock: monotonic, in seconds.
        """
        self._registry = registry
        self._files = files
        self._snapshots = snapshots
        self._factory = factory
        self._note = note
        self._clock = clock
        self._owner = secrets.token_hex(8)
        self._lease: _Lease | None = None
        self._refused: dict[int, float] = {}
        """Number of a snapshot → when to look at it again."""

    @property
    def builds(self) -> bool:
        """Whether this gateway is the builder."""
        return self._lease is not None and self._clock() < self._lease.until

    def elect(self) -> bool:
        """Become the builder if there is none, or stay it; return whether this gateway is it now.

        Raises:
            StorageUnavailable: the store cannot be reached. A builder stays it until its lease ends.
        """
        asked = self._clock()
        term = self._registry.lead(self._owner, LEASE_SECONDS)
        self._lease = _Lease(term, asked + LEASE_SECONDS) if term is not None else None
        return term is not None

    def newest(self) -> dict[int, Publication]:
        """Return the newest published snapshot of each space.

        Raises:
            StorageUnavailable: the store cannot be reached.
        """
        return self._registry.newest()

    def receive(self, space_id: int, current: SnapshotManifest | None) -> SnapshotManifest | None:
        """Bring the newest sound snapshot that others published into the data directory, if it is better.

        Args:
            space_id: the space.
            current: the snapshot in the data directory; None if it has none that is sound.

        Returns:
            The manifest of the new snapshot; None if nothing was loaded.
        """
        try:
            published = self._registry.published(space_id)
        except StorageUnavailable as error:
            log.error("the shared snapshots cannot be listed", extra={"error": for_log(error)})
            self._note("failed")
            return None
        now = self._clock()
        for one in published:
            if self._refused.get(one.number, now) > now:
                continue
            try:
                manifest = self._checked(one, space_id)
                if current is not None and not is_better(manifest, current):
                    return None
                started = self._clock()
                self._snapshots.receive(manifest, lambda file, path, one=one: self._fetch(one, file, path))  # type: ignore[misc]
            except (SnapshotUnusable, StorageUnavailable, OSError) as reason:
                self._refused = {number: until for number, until in self._refused.items() if until > now}
                self._refused[one.number] = now + _RETRY_SECONDS
                log.warning("a shared snapshot is refused", extra={"location": one.location, "reason": for_log(reason)})
                self._note("refused")
                continue
            log.info(
                "shared snapshot loaded",
                extra={
                    "location": one.location,
                    "vectors": manifest.count,
                    "seconds": round(self._clock() - started, 3),
                },
            )
            self._note("loaded")
            return manifest
        return None

    def added(self, space_id: int, after: int, most: int) -> int:
        """Count the vectors of a space that were added after a change, up to ``most``.

        Raises:
            StorageUnavailable: the store cannot be reached.
        """
        return self._registry.added(space_id, after, most)

    def manifest(self, space_id: int) -> SnapshotManifest | None:
        """Return the manifest of the snapshot in the data directory; None if there is none that is sound."""
        try:
            return self._snapshots.manifest(space_id)
        except SnapshotUnusable:
            return None

    def publish(self, manifest: SnapshotManifest) -> bool:
        """Publish a snapshot of the data directory; return whether it was published.

        Raises:
            StorageUnavailable: its files cannot be stored, or the store cannot be reached.
        """
        lease = self._lease
        if lease is None:
            return False
        started = self._clock()
        location = f"{manifest.store_id}/{manifest.space_id}/{secrets.token_hex(8)}"
        for file in manifest.files:
            self._files.write(f"{location}/{file.name}", self._snapshots.path(manifest, file))
        for file in manifest.files:
            if self._checksum(f"{location}/{file.name}") != (file.bytes, file.sha256):
                raise StorageUnavailable(f"{location}/{file.name} was not stored as it was sent")
        encoded = msgspec.json.encode(manifest)
        new = NewSnapshot(manifest, encoded, hashlib.sha256(encoded).hexdigest(), location)
        refusal = self._registry.publish(new, self._owner, lease.term)
        if refusal is not None:
            log.warning("a snapshot was not published", extra={"location": location, "reason": refusal})
            self._note("failed")
            return False
        log.info(
            "snapshot published",
            extra={
                "location": location,
                "collection": manifest.collection,
                "vectors": manifest.count,
                "position": manifest.position,
                "seconds": round(self._clock() - started, 3),
            },
        )
        self._note("published")
        return True

    def tidy(self) -> int:
        """Drop snapshots that nobody should load any more, and files that no row names; return the number of files.

        Raises:
            StorageUnavailable: the files cannot be removed, or the store cannot be reached.
        """
        lease = self._lease
        if lease is None:
            return 0
        store_id = self._registry.store_id()
        # Listed before the rows are read: a file whose row is not there by then gets none any more, because only this
        # gateway may publish, and it does so in the same task.
        names = self._files.names(store_id)
        locations = self._registry.tidy(self._owner, lease.term, KEPT_SECONDS, _MOST)
        if locations is None:
            return 0
        kept = set(locations)
        folders = ((name, name.rpartition("/")[0]) for name in names)
        garbage = [name for name, folder in folders if folder not in kept and _FOLDER.fullmatch(folder)]
        if garbage:
            self._files.remove(garbage)
            log.info("files of old shared snapshots removed", extra={"files": len(garbage)})
        return len(garbage)

    def close(self) -> None:
        """End what runs, and let another gateway build."""
        self._files.stop()
        try:
            if self._lease is not None:
                self._registry.resign(self._owner)
        except GatewayError as error:
            log.info("the next builder waits for the end of the lease", extra={"error": for_log(error)})
        self._lease = None
        self._registry.close()

    def _checked(self, one: PublishedSnapshot, space_id: int) -> SnapshotManifest:
        """Return the manifest of a published snapshot, if it may be loaded.

        Raises:
            SnapshotUnusable: says why not.
        """
        if one.refusal is not None:
            raise SnapshotUnusable(one.refusal)
        if hashlib.sha256(one.manifest).hexdigest() != one.sha256:
            raise SnapshotUnusable("its manifest is damaged (the checksum is wrong)")
        try:
            manifest = msgspec.json.decode(one.manifest, type=SnapshotManifest)
        except msgspec.MsgspecError as error:
            raise SnapshotUnusable(f"its manifest is of another release ({error})") from error
        found = (manifest.format, manifest.description, manifest.store_id, manifest.space_id)
        wanted = (SNAPSHOT_FORMAT, self._factory.description(), self._registry.store_id(), space_id)
        if found != wanted:
            raise SnapshotUnusable(f"it is of {found}, not of {wanted}")
        return manifest

    def _fetch(self, one: PublishedSnapshot, file: SnapshotFile, path: Path) -> None:
        size = 0
        with path.open("wb") as copy:
            for piece in self._files.read(f"{one.location}/{file.name}"):
                size += len(piece)
                if size > file.bytes:
                    raise SnapshotUnusable(f"{file.name} has more than {file.bytes} bytes")
                copy.write(piece)

    def _checksum(self, name: str) -> tuple[int, str]:
        size, digest = 0, hashlib.sha256()
        for piece in self._files.read(name):
            size += len(piece)
            digest.update(piece)
        return size, digest.hexdigest()


def is_better(one: SnapshotManifest | Publication, other: SnapshotManifest | Publication) -> bool:
    """Return whether a snapshot has more than another: later changes, or the same ones and more of them proven."""
    return (one.position, -one.unproven) > (other.position, -other.unproven)
