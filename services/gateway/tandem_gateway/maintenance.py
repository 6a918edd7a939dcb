"""What is done to a data directory from outside the gateway: verify, rebuild, back up, and the helper that saves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.backup import back_up
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.feed import SqliteChangeFeed
from tandem_gateway.adapters.sqlite.lexical import maintenance as lexical_maintenance
from tandem_gateway.adapters.sqlite.store import open_checked
from tandem_gateway.adapters.usearch_index import UsearchIndexFactory
from tandem_gateway.errors import NoSnapshotYet, SnapshotUnusable, StorageUnavailable
from tandem_gateway.index import follower
from tandem_gateway.model import CollectionRecord, Saved
from tandem_gateway.ports import ChangeFeed, SnapshotStore, VectorIndexFactory

Say = Callable[[str], None]

_LOCK_WAIT_SECONDS = 60.0
# More traces of removed vectors than this share of the graph, and it is built anew instead of saved.
_MAX_REMOVED_SHARE = 0.25
_MIN_REMOVED = 1000


def is_worn(removed: int, count: int) -> bool:
    """Return whether so many vectors were removed that search suffers: a quarter of the graph, 1,000 at least."""
    return removed >= _MIN_REMOVED and removed > _MAX_REMOVED_SHARE * (count + removed)


def save_snapshots(
    feed: ChangeFeed,
    snapshots: SnapshotStore,
    factory: VectorIndexFactory,
    *,
    anew: bool = False,
    may_publish: Callable[[], bool] = lambda: True,
    say: Say = lambda line: None,
) -> list[Saved]:
    """Bring every collection's snapshot up to date with the store.

    Args:
        feed: the store.
        snapshots: where they are.
        factory: makes indexes.
        anew: build each from the store even if its snapshot is good.
        may_publish: asked before each is put in place; false ends the work.
        say: told what is being done.

    Returns:
        The snapshots that were written; those that held everything already are not among them.
    """
    saved: list[Saved] = []
    for record in feed.collections():
        if record.dim is None:
            continue
        followed, rebuilt = _followed(feed, snapshots, factory, record, anew=anew, say=say)
        before = followed.position
        applied = follower.catch_up(followed, feed, factory, record)
        if not rebuilt and applied == 0 and before > 0:
            continue
        if is_worn(followed.removed, len(followed.index)):
            say(f"collection {record.name}: {followed.removed} vectors were removed from its graph; built anew")
            followed, rebuilt = follower.empty(feed, factory, record.dim), True
            follower.catch_up(followed, feed, factory, record)
        if not may_publish():
            break
        snapshots.publish(followed.index, follower.manifest_of(followed, feed, factory, record))
        say(f"collection {record.name}: {len(followed.index)} vectors saved, up to change {followed.position}")
        saved.append(Saved(record.collection_id, followed.position, rebuilt))
    return saved


def snapshot(data_dir: Path, may_publish: Callable[[], bool], say: Say) -> list[Saved]:
    """Save the snapshots of a running gateway's data; see ``save_snapshots``.

    Raises:
        StorageError: if another helper works, or the store cannot be read.
    """
    lock = DataLock(data_dir, SNAPSHOT)
    try:
        feed = SqliteChangeFeed(data_dir / FILE_NAME)
        try:
            return save_snapshots(feed, Snapshots(data_dir), UsearchIndexFactory(), may_publish=may_publish, say=say)
        finally:
            feed.close()
    finally:
        lock.release()


def rebuild(data_dir: Path, say: Say) -> None:
    """Make every index of a stopped gateway anew, from its store.

    Raises:
        StorageInUse: if a gateway runs on it.
        StorageCorrupt: if the store is damaged.
    """
    with _Stopped(data_dir, say) as feed:
        snapshots = Snapshots(data_dir)
        for name in snapshots.remove_strangers(record.collection_id for record in feed.collections()):
            say(f"index folder {name!r} belonged to no collection and was removed")
        saved = save_snapshots(feed, snapshots, UsearchIndexFactory(), anew=True, say=say)
        say(f"rebuilt: {len(saved)} collections")
        rows = lexical_maintenance.rebuild(data_dir, say)
        say(f"lexical index: rebuilt, {rows} documents")


def verify(data_dir: Path, say: Say) -> bool:
    """Check a stopped gateway's store, and its indexes against it.

    Returns:
        Whether all is well. A snapshot that is merely behind, or missing, is no fault: a start catches up.

    Raises:
        StorageInUse: if a gateway runs on it.
        StorageCorrupt: if the store is damaged.
    """
    with _Stopped(data_dir, say) as feed:
        snapshots, factory = Snapshots(data_dir), UsearchIndexFactory()
        sound = True
        for record in feed.collections():
            counts = f"{record.live} documents, {record.pending} waiting to be embedded"
            if record.dim is None:
                say(f"collection {record.name}: {counts}; no index yet")
                continue
            try:
                followed = follower.restore(feed, snapshots, factory, record)
            except SnapshotUnusable as reason:
                sound = sound and isinstance(reason, NoSnapshotYet)
                say(f"collection {record.name}: {counts}; index: {reason}; the next start builds it from the store")
                continue
            behind = follower.catch_up(followed, feed, factory, record)
            difference = np.setxor1d(followed.index.keys(), feed.row_ids(record.collection_id))
            if len(difference):
                sound = False
                say(
                    f"collection {record.name}: {counts}; index: differs from the store in {len(difference)} rows "
                    f"(first: {difference[:5].tolist()}); run `python -m tandem_gateway rebuild`"
                )
            else:
                say(f"collection {record.name}: {counts}; index: agrees ({behind} changes newer than its snapshot)")
        return lexical_maintenance.verify(data_dir, say) and sound


def backup(data_dir: Path, target: Path, say: Say) -> None:
    """Copy the store of a gateway, which may be running, to the new file ``target``.

    The index is not in it: a start without one builds it from the store.

    Raises:
        StorageError: as ``back_up`` does, or if there is no store.
    """
    _require_store(data_dir)
    collections = back_up(data_dir / FILE_NAME, target)
    documents = sum(record.live + record.pending for record in collections)
    say(f"backed up: {target}: {len(collections)} collections, {documents} documents, {target.stat().st_size} bytes")


def _require_store(data_dir: Path) -> None:
    if not data_dir.is_dir():
        raise StorageUnavailable(f"{data_dir} is no directory")
    if not (data_dir / FILE_NAME).exists():
        raise StorageUnavailable(f"{data_dir} holds no store ({FILE_NAME} is missing)")


class _Stopped:
    """The data directory of a gateway that does not run, its store checked."""

    def __init__(self, data_dir: Path, say: Say) -> None:
        _require_store(data_dir)
        self._data_dir = data_dir
        self._say = say

    def __enter__(self) -> SqliteChangeFeed:
        self._owner = DataLock(self._data_dir, OWNER)
        try:
            self._snapshot = DataLock(self._data_dir, SNAPSHOT, wait=_LOCK_WAIT_SECONDS)
            try:
                self._connection, noticed = open_checked(self._data_dir)
                for line in noticed:
                    self._say(f"store: {line}")
                self._say("store: sound")
                self._feed = SqliteChangeFeed(self._data_dir / FILE_NAME)
                return self._feed
            except BaseException:
                self._snapshot.release()
                raise
        except BaseException:
            self._owner.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._feed.close()
        self._connection.close()
        self._snapshot.release()
        self._owner.release()


def _followed(
    feed: ChangeFeed,
    snapshots: SnapshotStore,
    factory: VectorIndexFactory,
    record: CollectionRecord,
    *,
    anew: bool,
    say: Say,
) -> tuple[follower.Followed, bool]:
    assert record.dim is not None
    if not anew:
        try:
            return follower.restore(feed, snapshots, factory, record), False
        except SnapshotUnusable as reason:
            say(f"collection {record.name}: {reason}; built from the store")
    return follower.empty(feed, factory, record.dim), anew
