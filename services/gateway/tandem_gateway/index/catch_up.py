"""Applies the store's changes to an index, in order of change number, from the index's position."""

from dataclasses import dataclass
from typing import Protocol

from tandem_gateway.errors import SnapshotUnusable
from tandem_gateway.index import base_arrays
from tandem_gateway.index.base import Base
from tandem_gateway.index.first_passages import FirstPassages
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.index import GraphFactory, SnapshotStore
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import SnapshotManifest

_PAGE = 1000


class Following(Protocol):
    """A target of changes: the index that queries use, or the builder of a base."""

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors; a key that the target already holds keeps its vector."""
        ...

    def remove(self, keys: Keys) -> int:
        """Remove keys and return how many of them the target held."""
        ...


@dataclass(slots=True)
class Position:
    """Position of an index in the store's sequence of changes."""

    added: int
    """The index has all additions up to this change."""
    removed: int
    """The index has all removals up to this change, except those of rows that it never held."""

    def advance(self, change: int) -> None:
        """Move to a change number up to which nothing concerns the index."""
        self.added = max(self.added, change)
        self.removed = max(self.removed, change)


def beginning(feed: IndexFeed) -> Position:
    """Return the position of an empty index.

    It starts at the current removal position: rows deleted earlier will not appear among the additions.
    """
    return Position(added=0, removed=feed.last_change())


def restore(
    feed: IndexFeed,
    snapshots: SnapshotStore,
    factory: GraphFactory,
    collection: CollectionRecord,
    *,
    writable: bool,
) -> tuple[Base, Position]:
    """Return the base of a collection's snapshot, and its position.

    Raises:
        SnapshotUnusable: if there is no snapshot, or it is damaged, or of another store, model or version.
    """
    manifest = snapshots.manifest(collection.space_id)
    check_manifest(manifest, feed, collection)
    return load(snapshots, factory, manifest, writable=writable), Position(manifest.position, manifest.position)


def check_manifest(manifest: SnapshotManifest, feed: IndexFeed, collection: CollectionRecord) -> None:
    """Check that a snapshot matches the store's record of a collection.

    Raises:
        SnapshotUnusable: if it does not match.
    """
    found = (manifest.store_id, manifest.space_id, manifest.fingerprint, manifest.dim)
    wanted = (feed.store_id(), collection.space_id, collection.fingerprint, collection.dim)
    if found != wanted:
        raise SnapshotUnusable(f"it is of {found}, not of {wanted}")
    if manifest.position > feed.last_change():
        raise SnapshotUnusable(f"it holds change {manifest.position}, the store ends at {feed.last_change()}")


def load(snapshots: SnapshotStore, factory: GraphFactory, manifest: SnapshotManifest, *, writable: bool) -> Base:
    """Return the base of a snapshot, without comparing it with the store.

    Raises:
        SnapshotUnusable: if a file is missing, damaged, or of another version.
    """
    try:
        base = base_arrays.restore(snapshots.load(manifest, factory, writable=writable))
    except ValueError as error:
        raise SnapshotUnusable(str(error)) from error
    if base.live != manifest.count:
        raise SnapshotUnusable(f"it holds {base.live} vectors, not {manifest.count}")
    return base


def catch_up(
    following: Following,
    position: Position,
    feed: IndexFeed,
    collection: CollectionRecord,
    firsts: FirstPassages | None = None,
) -> int | None:
    """Apply every change after a position, to the passages' documents too if given, and advance the position.

    Returns:
        The number of changes. None if the store no longer knows all removals since the position: the caller has to
        rebuild the index.
    """
    applied = 0
    while True:
        changes = feed.changes(collection, after=position.added, removals_after=position.removed, limit=_PAGE)
        if changes is None:
            return None
        following.remove(changes.removed)
        following.add(changes.added, changes.vectors)
        if firsts is not None:
            firsts.remove(changes.removed)
            firsts.add(changes.added, changes.firsts)
        position.added = changes.upto
        position.removed = max(position.removed, changes.upto)
        applied += len(changes.removed) + len(changes.added)
        if changes.complete:
            return applied
