"""Opens a store in PostgreSQL, with the indexes that a data directory caches. Only ``stores`` imports it."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tandem_gateway.adapters.data_dir import keep_private
from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.postgres import migrations
from tandem_gateway.adapters.postgres.connection import connect, translated
from tandem_gateway.adapters.postgres.history import FILE_NAME, SNAPSHOT_FILE_NAME, Commit, History, agrees
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.key_store import PostgresKeyStore
from tandem_gateway.adapters.postgres.leadership import PostgresLeadership
from tandem_gateway.adapters.postgres.moving.unfinished import refuse_unfinished
from tandem_gateway.adapters.postgres.scrubbing import NothingToScrub
from tandem_gateway.adapters.postgres.snapshot_registry import PostgresSnapshotRegistry
from tandem_gateway.adapters.postgres.store import PostgresStore, StoreEvents
from tandem_gateway.adapters.postgres.watch import Watch
from tandem_gateway.adapters.shared_folder import SharedFolder
from tandem_gateway.adapters.snapshot_process import SnapshotProcess
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.lexical import maintenance as lexical_cache
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.composition.engines import engine_names, open_engines
from tandem_gateway.engine_maintenance import Engines
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.filter_index import FilterThread
from tandem_gateway.index.index_thread import IndexThread, OtherSources
from tandem_gateway.index.shared_snapshots import Outcome, SharedSnapshots
from tandem_gateway.lifecycle import OpenStore
from tandem_gateway.lifecycle.snapshot_sharing import SnapshotSharing
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.shared_snapshots import SharedFiles
from tandem_gateway.ports.text_log import KEYWORDS
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.snapshotting import SharingPolicy
from tandem_runtime.memory import MemoryBudget

log = logging.getLogger(__name__)

# Seconds that a startup waits for a snapshot helper of a previous gateway.
_SNAPSHOT_LOCK_SECONDS = 60.0
# Seconds that removals stay for gateways that are away.
_REMOVALS_KEPT = 86_400.0


def open_keys(settings: Settings) -> PostgresKeyStore:
    """Return the API keys of the database; bring its schema up to date first.

    Raises:
        StorageError: the database cannot be reached, has the schema of a later release, or a move of it has not ended.
    """
    migrations.migrate(settings.store_url)
    refuse_unfinished(settings.store_url)
    return PostgresKeyStore(settings.store_url, prepared=settings.store_prepared)


def open_snapshot_feed(settings: Settings) -> PostgresIndexFeed:
    """Return a feed for a process that writes snapshots or caches into the data directory.

    Raises:
        StorageError: the database cannot be reached, or a move of it has not ended.
    """
    refuse_unfinished(settings.store_url)
    history = History(settings.data_dir / SNAPSHOT_FILE_NAME)
    return PostgresIndexFeed(settings.store_url, prepared=settings.store_prepared, history=history)


def open_engine_maintenance(settings: Settings) -> Engines:
    """Return the vector engines for a process that updates them."""
    return Engines(open_engines(settings), PostgresLeadership(settings.store_url, prepared=settings.store_prepared))


def shared_snapshots(settings: Settings, history: History, note: Callable[[Outcome], None]) -> SharedSnapshots | None:
    """Return the snapshots that this gateway shares with others; None if it shares none.

    Args:
        settings: of the gateway.
        history: of the gateway's caches.
        note: called with what became of each snapshot.
    """
    if not settings.snapshot_url:
        return None
    registry = PostgresSnapshotRegistry(
        settings.store_url,
        prepared=settings.store_prepared,
        history=history,
        seen=lambda: [history.last, History(settings.data_dir / SNAPSHOT_FILE_NAME).last],
    )
    return SharedSnapshots(
        registry, _files(settings.snapshot_url), Snapshots(settings.data_dir), UsearchGraphFactory(), note=note
    )


def _files(url: str) -> SharedFiles:
    if not url.startswith("s3:"):
        return SharedFolder(Path(unquote(urlsplit(url).path)))
    from tandem_gateway.adapters.object_storage import ObjectStorage  # noqa: PLC0415 - obstore takes memory

    return ObjectStorage(url)


def open_store(settings: Settings, metrics: Metrics, memory: MemoryBudget) -> OpenStore:
    """Lock the data directory, bring the schema up to date and load the index; blocks.

    Raises:
        StorageError: the data directory is in use, or the database cannot be used.
    """
    owner = DataLock(settings.data_dir, OWNER)
    try:
        return _open(settings, metrics, memory, owner)
    except BaseException:
        owner.release()
        raise


def _open(settings: Settings, metrics: Metrics, memory: MemoryBudget, owner: DataLock) -> OpenStore:
    data_dir, url, prepared = settings.data_dir, settings.store_url, settings.store_prepared
    for path in keep_private(data_dir):
        log.warning("other users could read it; they cannot any more", extra={"path": str(path)})
    migrations.migrate(url)
    refuse_unfinished(url)
    helper = DataLock(data_dir, SNAPSHOT, wait=_SNAPSHOT_LOCK_SECONDS)
    try:
        notices = _forget_other_history(url, data_dir)
        history = History(data_dir / FILE_NAME)
        answer_limits = AnswerLimits(settings.max_answer_bytes, memory)
        shared = shared_snapshots(settings, history, metrics.index.shared)

        store = PostgresStore(
            url,
            limits=Limits(
                settings.max_collections,
                settings.max_pending_documents,
                settings.max_finished_jobs,
                settings.failed_document_bytes,
            ),
            max_queued=settings.max_queued_writes,
            write_timeout=settings.write_timeout,
            batch_bytes=settings.bulk_batch_bytes,
            prepared=prepared,
            events=StoreEvents(written=partial(_note_write, metrics)),
        )
        store.removals_kept = _REMOVALS_KEPT

        def noted(commit: Commit) -> None:
            store.check.seen(commit)
            store.position.note(commit.store_id, commit.number)

        def open_feed() -> PostgresIndexFeed:
            return PostgresIndexFeed(url, prepared=prepared, history=history, on_look=noted)

        index = IndexThread(
            open_feed,
            Snapshots(data_dir),
            UsearchGraphFactory(),
            answer_limits,
            sizes=Sizes(graph=settings.exact_below),
            sources=OtherSources(shared, partial(open_engines, settings)),
            in_loop=False,
            on_search=lambda seconds, queries: metrics.searches.index_duration.observe(seconds),
        )
        lexical = LexicalThread(
            data_dir,
            open_feed,
            max_queued=settings.max_queued_queries,
            limits=answer_limits,
            in_loop=False,
            on_search=metrics.searches.lexical_duration.observe,
            on_truncation=partial(metrics.documents.log_truncated, "keyword_index"),
            record=lambda positions: store.record_positions(KEYWORDS, positions),
        )
        filters = FilterThread(open_feed, max_queued=settings.max_queued_queries)
        watch = Watch(open_feed, [index.notify, lexical.notify], on_look=store.position.watched)
        parts = [watch.close, index.close, lexical.close, filters.close, store.close, history.close]
        if shared is not None:
            parts.insert(0, shared.close)
        try:
            store.look()
            notices += index.start().result()
            notices += lexical.start().result()
            watch.start()
        except BaseException:
            _close(parts)
            raise
    finally:
        helper.release()
    return OpenStore(
        ingest=store,
        jobs=store,
        documents=store,
        catalogue=store,
        sizes=store,
        queue=store.queue,
        reembeddings=store.reembeddings,
        retention=store,
        scrubbing=NothingToScrub(),
        health=store,
        position=store.position,
        index=index,
        lexical=lexical,
        filters=filters,
        snapshots=SnapshotProcess(data_dir, settings.exact_below),
        notices=notices,
        close=partial(_close, [*parts, owner.release]),
        engines=engine_names(settings),
        shared=store.shared,
        steps=[index.follow, lexical.follow],
        ended=watch.ended,
        sharing=None
        if shared is None
        else SnapshotSharing(
            shared,
            index,
            metrics.index,
            SharingPolicy(settings.snapshot_overlay, settings.snapshot_publish_seconds),
            settings.snapshot_changes,
        ),
    )


def _forget_other_history(url: str, data_dir: Path) -> list[str]:
    """Remove the caches of a data directory that follow another history than the database has now."""
    files = [data_dir / name for name in (FILE_NAME, SNAPSHOT_FILE_NAME)]
    known = [History(path).last for path in files]
    caches = Snapshots(data_dir).any or lexical_cache.exists(data_dir)
    with translated(), connect(url, prepared=False) as connection:
        if not caches or (known[0] is not None and all(agrees(connection, each) for each in known)):
            return []
    Snapshots(data_dir).remove_all()
    lexical_cache.forget(data_dir)
    for path in files:
        path.unlink(missing_ok=True)
    return ["the indexes followed another history than the database has; they are built from the database"]


def _note_write(metrics: Metrics, seconds: float) -> None:
    metrics.documents.commit_duration.observe(seconds)
    metrics.documents.writes_per_commit.observe(1)


def _close(parts: Sequence[Callable[[], None]]) -> None:
    for close in parts:
        close()
