"""Commands on a data directory that run outside the gateway: verify, rebuild, backup, and the snapshot helper."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite import compaction
from tandem_gateway.adapters.sqlite.backup import back_up
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, close_whole
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.key_store import FILE_NAME as KEYS_NAME
from tandem_gateway.adapters.sqlite.key_store import SECRET_NAME, SqliteKeyStore
from tandem_gateway.adapters.sqlite.lexical import maintenance as lexical_maintenance
from tandem_gateway.adapters.sqlite.moving.unfinished import refuse_unfinished
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.composition.stores import Feed, SharedStore
from tandem_gateway.engine_maintenance import Engines
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.index import verification
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.snapshot_update import Places, update_snapshot
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.engines import OWN_ENGINE
from tandem_gateway.records.index import Saved

Print = Callable[[str], None]
_LOCK_WAIT_SECONDS = 60.0


def snapshot(
    data_dir: Path,
    sizes: Sizes,
    may_publish: Callable[[], bool],
    report: Print,
    shared: SharedStore | None = None,
) -> list[Saved]:
    """Bring the snapshots of a running gateway's data up to date; see ``update_snapshot``.

    Args:
        data_dir: the data directory.
        sizes: number of vectors from which a collection has graphs.
        may_publish: called before each snapshot is put in place; false ends the work.
        report: called with a line for each step.
        shared: a store that is not in the data directory; None for one that is.

    Returns:
        The collections whose index was saved or needs no save.

    Raises:
        StorageError: another helper is running, or the store cannot be read.
    """
    lock = DataLock(data_dir, SNAPSHOT)
    try:
        feed = shared.open_feed() if shared is not None else SqliteIndexFeed(data_dir / FILE_NAME)
        snapshots = Snapshots(data_dir)
        places = Places(feed, snapshots, UsearchGraphFactory(), sizes)
        saved: list[Saved] = []
        try:
            records = feed.spaces().all()
            for name in snapshots.remove_orphans(record.space_id for record in records):
                report(f"index folder {name!r} belonged to a collection that is gone and was removed")
            for record in _in_memory(records):
                done, _ = update_snapshot(places, record, may_publish=may_publish, report=report)
                if done is not None:
                    saved.append(done)
                if not may_publish():
                    break
            with _engines(shared) as engines:
                return saved if engines is None else saved + engines.update(feed, may_publish, report)
        finally:
            feed.close()
    finally:
        lock.release()


def rebuild(data_dir: Path, sizes: Sizes, report: Print, shared: SharedStore | None = None) -> None:
    """Rebuild every index of a stopped gateway from its store, and prove that each finds every vector.

    Args:
        data_dir: the data directory.
        sizes: number of vectors from which a collection has graphs.
        report: called with a line for each step.
        shared: a store that is not in the data directory; None for one that is.

    Raises:
        StorageInUse: a gateway uses the data directory.
        StorageCorrupt: the store is damaged.
    """
    stopped = _Stopped(data_dir, report, shared)
    with stopped as feed:
        snapshots = Snapshots(data_dir)
        for name in snapshots.remove_orphans(record.space_id for record in feed.spaces().all()):
            report(f"index folder {name!r} belonged to no collection and was removed")
        places = Places(feed, snapshots, UsearchGraphFactory(), sizes)
        done = [
            update_snapshot(places, record, rebuild=True, sweep_seconds=math.inf, report=report)[0]
            for record in _in_memory(feed.spaces().all())
        ]
        with _engines(shared) as engines:
            for filled in engines.update(feed, report=report, rebuild=True) if engines is not None else ():
                if filled.error is not None:
                    raise StorageUnavailable(filled.error)
                done.append(filled)
        report(f"rebuilt: {sum(each is not None for each in done)} indexes")
        passages = lexical_maintenance.rebuild(data_dir, stopped.open_feed, report)
        report(f"keyword index: rebuilt, {passages} passages")


def verify(data_dir: Path, report: Print, shared: SharedStore | None = None) -> bool:
    """Check the store of a stopped gateway, and compare its indexes with it.

    Args:
        data_dir: the data directory.
        report: called with a line for each step.
        shared: a store that is not in the data directory, and is not checked; None for one that is.

    Returns:
        Whether the check found no fault. An outdated or missing snapshot is not a fault: the next startup catches up.

    Raises:
        StorageInUse: a gateway uses the data directory.
        StorageCorrupt: the store is damaged.
    """
    stopped = _Stopped(data_dir, report, shared)
    with stopped as feed, _engines(shared) as engines:
        places = Places(feed, Snapshots(data_dir), UsearchGraphFactory())
        sound = True
        spaces = feed.spaces()
        for record in spaces.serving:
            counts = f"{record.live} documents, {record.pending} waiting to be embedded"
            if record.dim is None:
                report(f"collection {record.name}: {counts}; no index yet")
                continue
            found = _verified(places, engines, record, report)
            sound = sound and found.sound
            report(f"collection {record.name}: {counts}; index: {found.verdict}")
        for record in spaces.second:
            found = _verified(places, engines, record, report)
            sound = sound and found.sound
            report(
                f"collection {record.name}: vectors of model {record.model} with fingerprint {record.fingerprint} "
                f"beside those that serve; index: {found.verdict}"
            )
        return lexical_maintenance.verify(data_dir, stopped.open_feed, report) and sound


def backup(data_dir: Path, target: Path, report: Print) -> None:
    """Copy a gateway's store to the new file ``target``; the gateway may be running.

    If there are API keys, they and their secret get files beside it, whose names end with those of the originals.

    The backup does not contain the index: a startup without an index builds it from the store.

    Raises:
        StorageError: as in ``back_up``, or there is no store.
    """
    _require_store(data_dir)
    collections = back_up(data_dir / FILE_NAME, target)
    documents = sum(record.live + record.pending for record in collections)
    report(f"backed up: {target}: {len(collections)} collections, {documents} documents, {target.stat().st_size} bytes")
    if (data_dir / KEYS_NAME).exists():
        store = SqliteKeyStore(data_dir)
        try:
            keys, secret = (target.with_name(f"{target.name}.{name}") for name in (KEYS_NAME, SECRET_NAME))
            report(f"backed up: {keys} and {secret}: {store.back_up(keys, secret)} API keys")
        finally:
            store.close()


def compact(data_dir: Path, report: Print) -> None:
    """Rewrite the databases of a stopped gateway without the space, and the remains, of deleted documents.

    SQLite can leave a copy of a short deleted text in the unused part of a page. The rewritten files have no such part.
    The store needs free space of its own size meanwhile, in the data directory.

    Raises:
        StorageInUse: a gateway uses the data directory.
        StorageUnavailable: there is not enough free space. The store is unchanged.
        StorageCorrupt: the store is damaged.
    """
    path = data_dir / FILE_NAME
    stopped = _Stopped(data_dir, report)
    with stopped as feed:
        assert stopped.connection is not None
        before = path.stat().st_size
        feed.close()  # a reader would keep pages of the old database
        compaction.compact(stopped.connection, path)
        report(f"store: rewritten, {path.stat().st_size} bytes instead of {before}")
        passages = lexical_maintenance.rebuild(data_dir, lambda: SqliteIndexFeed(path), report)
        report(f"keyword index: rebuilt, {passages} passages")


def _in_memory(records: Iterable[CollectionRecord]) -> list[CollectionRecord]:
    """Return the collections whose vectors the gateway itself searches."""
    return [record for record in records if record.engine == OWN_ENGINE]


@contextmanager
def _engines(shared: SharedStore | None) -> Iterator[Engines | None]:
    """Open the vector engines of a store; None if it can have none."""
    if shared is None or shared.open_engines is None:
        yield None
        return
    engines = shared.open_engines()
    try:
        yield engines
    finally:
        engines.close()


def _verified(
    places: Places, engines: Engines | None, record: CollectionRecord, report: Print
) -> verification.Verified:
    if record.engine == OWN_ENGINE:
        return verification.verify(places, record, report)
    if engines is None:
        return verification.Verified(False, f"this machine has no setting for its engine {record.engine!r}")
    return verification.Verified(*engines.verify(places.feed, record))


def _require_store(data_dir: Path) -> None:
    if not data_dir.is_dir():
        raise StorageUnavailable(f"{data_dir} is no directory")
    refuse_unfinished(data_dir)
    if not (data_dir / FILE_NAME).exists():
        raise StorageUnavailable(f"{data_dir} holds no store ({FILE_NAME} is missing)")


class _Stopped:
    """Context manager: locks a stopped gateway's data directory, checks its store and returns a feed of it."""

    def __init__(self, data_dir: Path, report: Print, shared: SharedStore | None = None) -> None:
        if shared is None:
            _require_store(data_dir)
        self._data_dir = data_dir
        self._say = report
        self._shared = shared is not None
        self.open_feed: Callable[[], Feed] = (
            shared.open_feed if shared is not None else lambda: SqliteIndexFeed(data_dir / FILE_NAME)
        )
        """Opens another feed of the store."""
        self.connection: Any = None
        """The writable connection of a store in the data directory."""

    def __enter__(self) -> Feed:
        self._owner = DataLock(self._data_dir, OWNER)
        try:
            self._snapshot = DataLock(self._data_dir, SNAPSHOT, wait=_LOCK_WAIT_SECONDS)
            try:
                if not self._shared:
                    self.connection, notices = open_checked(self._data_dir)
                    for line in notices:
                        self._say(f"store: {line}")
                    self._say("store: sound")
                self._feed = self.open_feed()
                return self._feed
            except BaseException:
                self._snapshot.release()
                raise
        except BaseException:
            self._owner.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._feed.close()
        if self.connection is not None:
            close_whole(self.connection)
        self._snapshot.release()
        self._owner.release()
