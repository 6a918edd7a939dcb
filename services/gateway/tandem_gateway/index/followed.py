"""One collection's index and its position in the store's changes: restores or builds it, and lets it catch up."""

import logging
from dataclasses import dataclass

from tandem_gateway.errors import NoSnapshotYet, SnapshotOutdated, SnapshotUnusable
from tandem_gateway.index import catch_up, snapshot_update
from tandem_gateway.index.base import Base
from tandem_gateway.index.catch_up import Position
from tandem_gateway.index.engine_index import EngineIndex, SearchedIndex
from tandem_gateway.index.engine_update import space_of
from tandem_gateway.index.findable import FindableIndex
from tandem_gateway.index.first_passages import FirstPassages
from tandem_gateway.index.snapshot_update import Places
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.engines import OWN_ENGINE
from tandem_gateway.records.index import SnapshotManifest
from tandem_gateway.records.notices import RoutineNotice

log = logging.getLogger(__name__)

# If startup finds more new vectors than this since the last snapshot, it builds the graph before it serves. Otherwise
# each query would be compared with all of them.
_MAX_NEW_AT_START = 20_000


@dataclass(slots=True)
class FollowedIndex:
    """An index, its position, and the last change that its snapshot holds (0 without one)."""

    index: SearchedIndex
    position: Position
    firsts: FirstPassages
    saved: int = 0
    engine: str = OWN_ENGINE
    """The engine of the collection."""


def restored_base(
    places: Places, record: CollectionRecord, notices: list[str]
) -> tuple[Base | None, Position | None, str]:
    """Return the base that a collection's index begins with at startup.

    Args:
        places: see ``Places``.
        record: the collection.
        notices: receives a line if a snapshot is unusable.

    Returns:
        The base, its position in the store's changes (both None for an exact index), and where it is from:
        ``snapshot``, ``shared snapshot`` or ``store``.
    """
    found, manifest = _local_base(places, record, notices)
    if found is not None:
        return (*found, "snapshot")
    if places.shared is not None:
        received = places.shared.receive(record.space_id, manifest)
        if received is not None:
            found, _ = _local_base(places, record, notices)
            if found is not None:
                return (*found, "shared snapshot")
    if places.feed.vectors_after(record.space_id, 0) <= _MAX_NEW_AT_START:
        return None, None, "store"
    return (*_build(places, record), "store")


def _local_base(
    places: Places, record: CollectionRecord, notices: list[str]
) -> tuple[tuple[Base, Position] | None, SnapshotManifest | None]:
    """Return the base of the snapshot in the data directory if a start may use it, and the manifest if it is sound."""
    manifest = None
    try:
        manifest = places.snapshots.manifest(record.space_id)
        catch_up.check_manifest(manifest, places.feed, record)
        if places.feed.vectors_after(record.space_id, manifest.position) <= _MAX_NEW_AT_START and (
            places.shared is None or _remembers_removals(places.feed, record, manifest)
        ):
            base = catch_up.load(places.snapshots, places.factory, manifest, writable=False)
            return (base, Position(manifest.position, manifest.position)), manifest
    except NoSnapshotYet:
        pass
    except SnapshotUnusable as reason:
        line = f"index of collection {record.name!r} is rebuilt from the store: {reason}"
        notices.append(RoutineNotice(line) if isinstance(reason, SnapshotOutdated) else line)
        manifest = None
    return None, manifest


def _remembers_removals(feed: IndexFeed, record: CollectionRecord, manifest: SnapshotManifest) -> bool:
    """Return whether the store knows all removals since a snapshot. If not, the index would be exact as a whole."""
    position = manifest.position
    return feed.changes(record, after=position, removals_after=position, limit=1) is not None


def _build(places: Places, record: CollectionRecord) -> tuple[Base | None, Position | None]:
    """Build and save a base before the gateway serves. Return it and its position, or two Nones without a snapshot."""

    def report(line: str) -> None:
        log.info("building an index", extra={"progress": line})

    try:
        built, base = snapshot_update.update_snapshot(places, record, report=report)
    except OSError as error:
        log.error("an index could not be saved", extra={"collection": record.name, "error": str(error)})
        return None, None
    if built is None or not built.graph or base is None:
        return None, None
    manifest = places.snapshots.manifest(record.space_id)
    return (
        catch_up.load(places.snapshots, places.factory, manifest, writable=False),
        Position(manifest.position, manifest.position),
    )


def following(
    feed: IndexFeed,
    record: CollectionRecord,
    base: Base | None,
    position: Position | None,
    firsts: FirstPassages | None = None,
) -> FollowedIndex:
    """Return an index that has caught up with the store.

    Args:
        feed: the store's changes.
        record: the collection; it has a dimension.
        base: the base of the index; None for an exact index.
        position: the base's position in the store's changes.
        firsts: of all passages of the base; None to read them from the store.
    """
    assert record.dim is not None
    while True:
        if base is None or position is None:
            followed = FollowedIndex(FindableIndex(record.dim), catch_up.beginning(feed), FirstPassages())
        else:
            firsts = firsts or FirstPassages(*feed.later_passages(record.space_id))
            followed = FollowedIndex(FindableIndex(record.dim, base), position, firsts, position.added)
        if catch_up.catch_up(followed.index, followed.position, feed, record, followed.firsts) is not None:
            return followed
        base = None


def following_engine(
    engine: VectorEngine, feed: IndexFeed, record: CollectionRecord, firsts: FirstPassages | None = None
) -> FollowedIndex:
    """Return an index of a collection in an engine, with all changes after the engine's position.

    Without a published generation, and if the store has forgotten removals after its position, the index is exact.

    Raises:
        StorageUnavailable: the engine does not answer.
    """
    space = space_of(feed, record)
    state = engine.state(space)
    if state is not None and state.written <= feed.last_change():
        followed = FollowedIndex(
            EngineIndex(engine, space, state),
            Position(state.visible, state.visible),
            firsts or FirstPassages(*feed.later_passages(record.space_id)),
            state.visible,
            record.engine,
        )
        if catch_up.catch_up(followed.index, followed.position, feed, record, followed.firsts) is not None:
            return followed
    followed = following(feed, record, None, None)
    followed.engine = record.engine
    return followed
