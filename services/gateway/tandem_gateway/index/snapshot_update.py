"""Updates snapshots: builds the graphs of an index, beside the running gateway or before it starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tandem_gateway.errors import NoSnapshotYet, SnapshotUnusable, StorageUnavailable
from tandem_gateway.index import base_arrays, catch_up
from tandem_gateway.index.base import Base
from tandem_gateway.index.builder import DEFAULT_SIZES, BaseBuilder, Sizes
from tandem_gateway.index.catch_up import Position
from tandem_gateway.index.shared_snapshots import SharedSnapshots
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.index import GraphFactory, SnapshotStore
from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import SNAPSHOT_FORMAT, Saved, SnapshotManifest

Print = Callable[[str], None]

# A complete sweep of 100,000 vectors takes about this long. A larger graph is swept in parts, one part a run.
SWEEP_SECONDS = 20.0
_TELL_EVERY = 50_000


@dataclass(frozen=True, slots=True)
class Places:
    """The sources of an index: the store's changes, the snapshots, the graph factory, the sizes, and the engines."""

    feed: IndexFeed
    snapshots: SnapshotStore
    factory: GraphFactory
    sizes: Sizes = DEFAULT_SIZES
    shared: SharedSnapshots | None = None
    """The snapshots of other gateways; None for a gateway that shares none."""
    engines: Mapping[str, VectorEngine] = field(default_factory=dict)
    """Name → engine, for the collections that are not in the gateway's memory."""

    def engine_of(self, record: CollectionRecord) -> VectorEngine:
        """Return the engine that has the vectors of a collection.

        Raises:
            StorageUnavailable: this gateway does not know the engine.
        """
        engine = self.engines.get(record.engine)
        if engine is None:
            raise StorageUnavailable(
                f"collection {record.name!r} is in the engine {record.engine!r}, which this gateway has no setting for"
            )
        return engine


def update_snapshot(
    places: Places,
    record: CollectionRecord,
    *,
    rebuild: bool = False,
    sweep_seconds: float = SWEEP_SECONDS,
    may_publish: Callable[[], bool] = lambda: True,
    report: Print = lambda line: None,
) -> tuple[Saved | None, Base | None]:
    """Bring a collection's snapshot up to date with the store.

    Args:
        places: see ``Places``.
        record: of the collection.
        rebuild: begin with an empty base even if the snapshot is sound.
        sweep_seconds: time limit of the sweep; see ``BaseBuilder.sweep``.
        may_publish: called before the snapshot is published; False prevents it.
        report: called with a line of progress.

    Returns:
        A record of the save; None if the snapshot was already up to date, or ``may_publish`` returned False. And the
        base, with writable graphs, if one was built, even if it was not published.

    Raises:
        OSError: if the snapshot cannot be saved; the previous snapshot is unchanged.
    """
    if record.dim is None:
        return None, None
    manifest = None if rebuild else _usable_manifest(places, record, report)
    if manifest is not None and not _has_work(places.feed, record, manifest):
        return None, None
    if manifest is None and not rebuild and places.feed.vectors_after(record.space_id, 0) < places.sizes.graph:
        places.snapshots.remove(record.space_id)  # it is unusable, if there is one
        # There is no graph, and a start reads all vectors from the store: the store need not remember removals.
        return Saved(record.space_id, places.feed.last_change(), graph=False), None
    builder, position = _built(places, record, manifest, report)
    builder.sweep(seconds=sweep_seconds)
    if not may_publish():
        return None, builder.base
    if builder.base is None:
        places.snapshots.remove(record.space_id)
        return Saved(record.space_id, position.added, graph=False), None
    report(f"collection {record.name}: {builder.base.live} vectors, {len(builder.base.stray_nodes)} of them strays")
    places.snapshots.publish(base_arrays.save(builder.base), _manifest_of(builder.base, position, places, record))
    report(f"collection {record.name}: saved, up to change {position.added}")
    return Saved(record.space_id, position.added, graph=True), builder.base


def _usable_manifest(places: Places, record: CollectionRecord, report: Print) -> SnapshotManifest | None:
    try:
        manifest = places.snapshots.manifest(record.space_id)
        catch_up.check_manifest(manifest, places.feed, record)
    except NoSnapshotYet:
        return None
    except SnapshotUnusable as reason:
        report(f"collection {record.name}: {reason}; built from the store")
        return None
    return manifest


def _has_work(feed: IndexFeed, record: CollectionRecord, manifest: SnapshotManifest) -> bool:
    if manifest.unproven:
        return True
    changes = feed.changes(record, after=manifest.position, removals_after=manifest.position, limit=1)
    return changes is None or bool(len(changes.added) or len(changes.removed))


def _built(
    places: Places, record: CollectionRecord, manifest: SnapshotManifest | None, report: Print
) -> tuple[BaseBuilder, Position]:
    """Return a builder that has applied every change, and its position."""
    if manifest is not None:
        try:
            base = catch_up.load(places.snapshots, places.factory, manifest, writable=True)
        except SnapshotUnusable as reason:
            report(f"collection {record.name}: {reason}; built from the store")
        else:
            builder = _builder(places, record, base)
            position = Position(manifest.position, manifest.position)
            if catch_up.catch_up(builder, position, places.feed, record) is not None and not builder.needs_rebuild():
                return builder, position
            report(f"collection {record.name}: too much was removed since its graph was built; rebuilt")
    while True:
        builder, position = _builder(places, record, None), catch_up.beginning(places.feed)
        if catch_up.catch_up(_Telling(builder, places, record, report), position, places.feed, record) is not None:
            return builder, position


def _builder(places: Places, record: CollectionRecord, base: Base | None) -> BaseBuilder:
    assert record.dim is not None

    def exact_vectors(rows: Sequence[int]) -> dict[int, Vectors]:
        return {
            row: np.frombuffer(vector, "<f4").astype(np.float32, copy=False)
            for row, vector in places.feed.vectors(record.space_id, sorted(rows)).items()
        }

    return BaseBuilder(record.dim, places.factory, base, sizes=places.sizes, exact_vectors=exact_vectors)


class _Telling:
    """Passes changes to a builder and reports progress now and then."""

    def __init__(self, builder: BaseBuilder, places: Places, record: CollectionRecord, report: Print) -> None:
        self._builder = builder
        self._total = places.feed.vectors_after(record.space_id, 0)
        self._record = record
        self._say = report
        self._told = 0
        self.remove = builder.remove

    def add(self, keys: Keys, vectors: Vectors) -> None:
        self._builder.add(keys, vectors)
        if len(self._builder) >= self._told + _TELL_EVERY:
            self._told = len(self._builder)
            self._say(f"collection {self._record.name}: {self._told} of {self._total} vectors added to its graph")


def _manifest_of(base: Base, position: Position, places: Places, record: CollectionRecord) -> SnapshotManifest:
    assert record.fingerprint is not None
    assert record.dim is not None
    return SnapshotManifest(
        format=SNAPSHOT_FORMAT,
        store_id=places.feed.store_id(),
        space_id=record.space_id,
        collection=record.name,
        fingerprint=record.fingerprint,
        dim=record.dim,
        description=places.factory.description(),
        position=position.added,
        count=base.live,
        unproven=base.sweep.unproven,
        files=[],
    )
