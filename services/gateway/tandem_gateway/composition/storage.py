"""Opens the data directory: its lock, its store, and its indexes."""

import logging
from functools import partial

from tandem_gateway.adapters.data_dir import keep_private
from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.snapshot_process import SnapshotProcess
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sole_position import SolePosition
from tandem_gateway.adapters.sqlite import reads
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.sqlite.writer import WriterEvents
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.filter_index import FilterThread
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.lifecycle import OpenStore
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.text_log import KEYWORDS
from tandem_gateway.settings import Settings
from tandem_runtime.memory import MemoryBudget

log = logging.getLogger(__name__)

# Seconds that a startup waits for a snapshot helper of a previous gateway.
_SNAPSHOT_LOCK_SECONDS = 60.0


def open_store(settings: Settings, metrics: Metrics, memory: MemoryBudget) -> OpenStore:
    """Lock the data directory, check its store and load its index; blocks.

    Raises:
        StorageError: the data directory is in use, unusable or damaged.
    """
    data_dir = settings.data_dir
    owner = DataLock(data_dir, OWNER)
    try:
        for path in keep_private(data_dir):
            log.warning("other users could read it; they cannot any more", extra={"path": str(path)})
        connection, notices = open_checked(data_dir, trust_clean_stop=True)
        store_id = reads.store_id(connection)
        answer_limits = AnswerLimits(settings.max_answer_bytes, memory)
        index = IndexThread(
            lambda: SqliteIndexFeed(data_dir / FILE_NAME, lambda: store.commits),
            Snapshots(data_dir),
            UsearchGraphFactory(),
            answer_limits,
            sizes=Sizes(graph=settings.exact_below),
            on_search=lambda seconds, queries: metrics.searches.index_duration.observe(seconds),
        )

        lexical = LexicalThread(
            data_dir,
            lambda: SqliteIndexFeed(data_dir / FILE_NAME, lambda: store.commits),
            max_queued=settings.max_queued_queries,
            limits=answer_limits,
            on_search=metrics.searches.lexical_duration.observe,
            on_truncation=partial(metrics.documents.log_truncated, "keyword_index"),
            record=lambda positions: store.record_positions(KEYWORDS, positions),
        )

        filters = FilterThread(
            lambda: SqliteIndexFeed(data_dir / FILE_NAME, lambda: store.commits), max_queued=settings.max_queued_queries
        )

        def on_commit(seconds: float, writes: int) -> None:
            metrics.documents.commit_duration.observe(seconds)
            metrics.documents.writes_per_commit.observe(writes)
            index.notify()
            lexical.notify()

        store = SqliteStore(
            data_dir,
            connection,
            limits=Limits(
                settings.max_collections,
                settings.max_pending_documents,
                settings.max_finished_jobs,
                settings.failed_document_bytes,
            ),
            max_queued_writes=settings.max_queued_writes,
            write_timeout=settings.write_timeout,
            batch_bytes=settings.bulk_batch_bytes,
            events=WriterEvents(on_commit, partial(metrics.documents.log_truncated, "store")),
        )

        def close() -> None:
            index.close()
            lexical.close()
            filters.close()
            store.close()
            store.record_clean_stop()
            owner.release()

        try:
            helper = DataLock(data_dir, SNAPSHOT, wait=_SNAPSHOT_LOCK_SECONDS)
            try:
                notices += index.start().result()
            finally:
                helper.release()
            notices += lexical.start().result()
        except BaseException:
            index.close()
            lexical.close()
            store.close()
            raise
    except BaseException:
        owner.release()
        raise
    return OpenStore(
        ingest=store,
        jobs=store,
        documents=store,
        catalogue=store,
        sizes=store,
        queue=store.queue,
        reembeddings=store.reembeddings,
        retention=store,
        scrubbing=store,
        health=store,
        position=SolePosition(store_id),
        index=index,
        lexical=lexical,
        filters=filters,
        snapshots=SnapshotProcess(data_dir, settings.exact_below),
        notices=notices,
        close=close,
    )
