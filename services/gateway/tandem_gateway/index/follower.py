"""One collection's index and how far it has followed the store."""

from dataclasses import dataclass

from tandem_gateway.errors import SnapshotUnusable
from tandem_gateway.model import SNAPSHOT_FORMAT, CollectionRecord, SnapshotManifest
from tandem_gateway.ports import ChangeFeed, SnapshotStore, VectorIndex, VectorIndexFactory

_PAGE = 1000


@dataclass(slots=True)
class Followed:
    """An index with its position in the store's sequence of changes."""

    index: VectorIndex
    position: int
    """Additions up to this change are in."""
    removals_position: int
    """Removals up to this change are in, or concern nothing that this index ever held."""
    removed: int
    """Vectors removed since the graph was built."""


def empty(feed: ChangeFeed, factory: VectorIndexFactory, dim: int) -> Followed:
    """Return an index that has yet to follow from the first change.

    What was removed before now is not among the additions it will be given, so that those removals do not matter.
    """
    return Followed(factory.create(dim), position=0, removals_position=feed.last_change(), removed=0)


def restore(
    feed: ChangeFeed, snapshots: SnapshotStore, factory: VectorIndexFactory, collection: CollectionRecord
) -> Followed:
    """Return the index of a collection's snapshot.

    Raises:
        SnapshotUnusable: if there is none, or it is damaged, or of another store, model or version.
    """
    manifest = snapshots.manifest(collection.collection_id)
    told = (manifest.store_id, manifest.collection_id, manifest.fingerprint, manifest.dim)
    wanted = (feed.store_id(), collection.collection_id, collection.fingerprint, collection.dim)
    if told != wanted:
        raise SnapshotUnusable(f"it is of {told}, not of {wanted}")
    if manifest.position > feed.last_change():
        raise SnapshotUnusable(f"it holds change {manifest.position}, the store ends at {feed.last_change()}")
    index = snapshots.load(manifest, factory)
    return Followed(index, manifest.position, manifest.position, manifest.removed)


def catch_up(followed: Followed, feed: ChangeFeed, factory: VectorIndexFactory, collection: CollectionRecord) -> int:
    """Apply every change after the index's position, and return how many there were.

    If the store no longer knows the removals since then, the index is built anew in place.
    """
    applied = 0
    while True:
        changes = feed.changes(
            collection, after=followed.position, removals_after=followed.removals_position, limit=_PAGE
        )
        if changes is None:
            assert collection.dim is not None
            fresh = empty(feed, factory, collection.dim)
            followed.index, followed.position = fresh.index, fresh.position
            followed.removals_position, followed.removed = fresh.removals_position, 0
            continue
        followed.removed += followed.index.remove(changes.removed)
        followed.index.add(changes.added, changes.vectors)
        followed.position = changes.upto
        followed.removals_position = max(followed.removals_position, changes.upto)
        applied += len(changes.removed) + len(changes.added)
        if changes.complete:
            return applied


def manifest_of(
    followed: Followed, feed: ChangeFeed, factory: VectorIndexFactory, collection: CollectionRecord
) -> SnapshotManifest:
    """Return the manifest of a snapshot to be taken now; ``Snapshots.publish`` fills in what the file tells."""
    assert collection.fingerprint is not None
    assert collection.dim is not None
    return SnapshotManifest(
        format=SNAPSHOT_FORMAT,
        store_id=feed.store_id(),
        collection_id=collection.collection_id,
        collection=collection.name,
        fingerprint=collection.fingerprint,
        dim=collection.dim,
        description=factory.description(),
        position=followed.position,
        count=len(followed.index),
        removed=followed.removed,
        file="",
        bytes=0,
        sha256="",
    )
