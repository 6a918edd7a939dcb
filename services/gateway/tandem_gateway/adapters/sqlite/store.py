"""Implements the document store on one SQLite file, with a writer thread and a reader thread."""

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tandem_contract.client_api import DEFAULT_COLLECTION
from tandem_gateway.adapters.sqlite import check, commit_watermark, reads, retention, schema, writes
from tandem_gateway.adapters.sqlite.checkpoint_schedule import Delays
from tandem_gateway.adapters.sqlite.connection import (
    FILE_NAME,
    connect,
    connect_for_check,
    read_transaction,
    translated,
)
from tandem_gateway.adapters.sqlite.embedding_queue import SqliteEmbeddingQueue
from tandem_gateway.adapters.sqlite.log_truncation import LogTruncation
from tandem_gateway.adapters.sqlite.presence import Presence
from tandem_gateway.adapters.sqlite.writer import Writer, WriterEvents
from tandem_gateway.errors import DeadlineExceeded, StorageError, for_log
from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    JobRecord,
    NewDocument,
)
from tandem_gateway.records.notices import RoutineNotice

log = logging.getLogger(__name__)

R = TypeVar("R")

# Files that a gateway leaves beside the store and that a backup lacks.
_BESIDE = (commit_watermark.FILE_NAME, "index", "lexical.sqlite3")
# Number of accepted jobs between two cleanups, so the store may exceed the limit by this many. Counting 100,000 jobs
# takes a millisecond.
_JOBS_BETWEEN_CLEANUPS = 100
_DELAYS = Delays()
_NO_EVENTS = WriterEvents()


def open_checked(data_dir: Path) -> tuple[sqlite3.Connection, list[str]]:
    """Open the store of a data directory and check all of it; create the store if there is none.

    Returns:
        A writable connection, and notices of repairs and findings, for the log.

    Raises:
        StorageCorrupt: if the file is damaged or has lost acknowledged writes.
        StorageUnavailable: if the file cannot be opened.
    """
    path = data_dir / FILE_NAME
    mark_path = data_dir / commit_watermark.FILE_NAME
    acknowledged = commit_watermark.read_mark(mark_path)
    # A store without other files is a restored backup, which has no mark.
    restored = not any((data_dir / name).exists() for name in _BESIDE)
    exists = path.exists() and path.stat().st_size > 0
    if not exists and acknowledged:
        raise check.lost_commits(path, 0, acknowledged)
    exists = exists and _is_sound(path, acknowledged)
    connection = connect(path, writable=True)
    try:
        with translated(path):
            if not exists:
                _create(connection)
            if acknowledged is None:
                commit_watermark.create_mark(mark_path, reads.counter(connection, "commit"))
            # Only after the checks, because it writes: a file that is not a store must stay unchanged.
            connection.execute("PRAGMA journal_mode=WAL")
            notices = _upgrade(connection)
    except BaseException:
        connection.close()
        raise
    if exists and acknowledged is None:
        line = f"{mark_path.name} was missing or damaged and is written again"
        notices.append(RoutineNotice(line) if restored else line)
    return connection, notices


def _is_sound(path: Path, acknowledged: int | None) -> bool:
    """Check a file; return False if it has no content, as after a killed first start.

    Raises:
        StorageCorrupt: if the file is damaged; the file and its log stay unchanged.
    """
    check.check_header(path)
    has_log = path.with_name(f"{path.name}-wal").exists()
    connection = connect_for_check(path) if has_log else connect(path, writable=True)
    try:
        with translated(path):
            if acknowledged in (None, 0) and _is_blank(connection):
                return False
            check.check(connection, path)
            check.check_log(connection, path, acknowledged)
            if acknowledged is None:
                check.check_unmarked(connection, path)
            return True
    finally:
        connection.close()


def _is_blank(connection: sqlite3.Connection) -> bool:
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        return False  # ``check`` will report the damage
    return (application_id, tables) == (0, 0) and pages <= 1


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    schema.upgrade(connection, 0)
    connection.execute(
        "INSERT INTO identity (store_id, checksum) VALUES (?1, row_checksum(?1))", (secrets.token_hex(16),)
    )
    for counter in ("commit", "change", "row", "collection"):
        writes.set_counter(connection, counter, 0)
    writes.create_collection(connection, DEFAULT_COLLECTION)
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection) -> list[str]:
    """Upgrade an older store's tables in one transaction, and return a notice for the log."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == schema.VERSION:
        return []
    connection.execute("BEGIN IMMEDIATE")
    schema.upgrade(connection, version)
    connection.execute("COMMIT")
    return [
        RoutineNotice(
            f"upgraded from schema version {version} to {schema.VERSION}; an older release no longer opens it"
        )
    ]


class SqliteStore:
    """Implements ``DocumentStore``: the writer's thread runs the writes, one other thread the reads."""

    def __init__(
        self,
        data_dir: Path,
        connection: sqlite3.Connection,
        *,
        limits: writes.Limits,
        max_queued_writes: int,
        write_timeout: float,
        batch_bytes: int,
        delays: Delays = _DELAYS,
        events: WriterEvents = _NO_EVENTS,
    ) -> None:
        """Take over the connection that ``open_checked`` returned.

        Args:
            data_dir: the data directory.
            connection: writable; the writer's thread owns it from now on.
            limits: maximum sizes of the store.
            max_queued_writes: maximum length of the write queue; over it, a call raises Overloaded.
            write_timeout: seconds after which a caller stops waiting for its write.
            batch_bytes: maximum UTF-8 bytes of the texts that a claim of ``queue`` returns; a longer text comes alone.
            delays: between a deletion and the checkpoint that takes the deleted text out of the log.
            events: callbacks.
        """
        self._path = data_dir / FILE_NAME
        self._limits = limits
        self._write_timeout = write_timeout
        self._accepted = 0
        self._reader = connect(self._path, writable=False)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        high_water_mark = commit_watermark.CommitWatermark(data_dir / commit_watermark.FILE_NAME)
        high_water_mark.write(reads.counter(connection, "commit"))
        self._presence = Presence(self._path)
        self._writer = Writer(
            connection,
            self._path,
            high_water_mark,
            self._presence,
            LogTruncation(connection, self._path, delays, events.log_truncated),
            max_queued=max_queued_writes,
            on_commit=events.committed,
        )
        self.queue = SqliteEmbeddingQueue(self._read, self._write, batch_bytes=batch_bytes)
        """The store's pending documents, for the embedding worker."""

    @property
    def commits(self) -> int:
        """Commits since the start; any thread may read it."""
        return self._writer.commits

    @property
    def write_failure(self) -> str | None:
        """Why the last write failed; see ``DocumentStore.write_failure``."""
        return self._writer.failure

    async def accept(self, job_id: str, collection: str, documents: Sequence[NewDocument], now: float) -> JobRecord:
        """Store documents and a job; see ``DocumentStore.accept``."""

        def accept(connection: sqlite3.Connection) -> JobRecord:
            self._accepted += 1
            if self._accepted % _JOBS_BETWEEN_CLEANUPS == 0:
                retention.forget_jobs(connection, 0.0, self._limits.finished_jobs)
            return writes.accept(connection, job_id, collection, documents, now, self._limits)

        return await self._write(accept)

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document; see ``DocumentStore.delete``."""
        return await self._write(lambda c: writes.delete(c, collection, doc_id, time.time()))

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection; see ``DocumentStore.delete_collection``."""
        return await self._write(lambda c: writes.delete_collection(c, collection, time.time()))

    async def forget_jobs(self, before: float) -> int:
        """Drop old jobs; see ``DocumentStore.forget_jobs``."""
        forgotten = 0
        while True:
            last = await self._write(lambda c: retention.forget_jobs(c, before, self._limits.finished_jobs))
            forgotten += last
            if last < retention.JOBS_AT_ONCE:
                return forgotten

    async def forget_tombstones(self, collection_id: int, upto: int) -> int:
        """Drop tombstones up to a change number that every snapshot has reached."""
        return await self._write(lambda c: retention.forget_tombstones(c, collection_id, upto))

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return a document; see ``DocumentStore.document``."""
        return await self._read(lambda c: reads.document(c, collection, doc_id))

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a job; see ``DocumentStore.job``."""
        return await self._read(lambda c: reads.job(c, job_id))

    async def collections(self) -> list[CollectionRecord]:
        """Return every collection; see ``DocumentStore.collections``."""
        return await self._read(reads.collections)

    def close(self) -> None:
        """Finish the queued writes and close the file; blocks."""
        self._reading.shutdown()
        self._reader.close()
        self._writer.close()

    async def _write(self, statement: Callable[[sqlite3.Connection], R]) -> R:
        future = asyncio.wrap_future(self._writer.submit(statement))
        try:
            async with asyncio.timeout(self._write_timeout):
                return await asyncio.shield(future)
        except TimeoutError:
            future.add_done_callback(_retrieve)
            raise DeadlineExceeded(
                f"the disk took longer than {self._write_timeout:g} s; the write may still take effect"
            ) from None
        finally:
            del future  # the error's traceback refers to this frame; a reference back would be a reference cycle

    async def _read(self, statement: Callable[[sqlite3.Connection], R]) -> R:
        def run() -> R:
            try:
                self._presence.check()
                with translated(self._path), read_transaction(self._reader):
                    return statement(self._reader)
            except StorageError as error:
                log.error("a read failed", extra={"error": for_log(error)})
                raise

        return await asyncio.get_running_loop().run_in_executor(self._reading, run)


def _retrieve(future: "asyncio.Future[R]") -> None:
    """Retrieve the error of an abandoned future, so that asyncio does not warn about it."""
    if not future.cancelled():
        future.exception()
