"""The one thread that writes, with group commits: all queued writes go to disk in one commit.

A commit costs one disk sync, however many writes it holds. Writes that arrive during a commit therefore share the next
one. Each write runs in a savepoint, so that a failed write does not affect the others. The writer acknowledges a write
only after the commit has returned.

Between commits, the thread truncates the log when that is due after deletions; see ``log_truncation``. It also removes
the content of deleted collections; see ``purge``.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tandem_gateway.adapters.sqlite import counters, purge, reads
from tandem_gateway.adapters.sqlite.commit_watermark import CommitWatermark
from tandem_gateway.adapters.sqlite.connection import close_whole, explain
from tandem_gateway.adapters.sqlite.log_truncation import LogTruncation, Outcome
from tandem_gateway.adapters.sqlite.presence import Presence
from tandem_gateway.errors import DeadlineExceeded, Overloaded, StorageError, StorageUnavailable, for_log
from tandem_runtime.durations import duration

R = TypeVar("R")

log = logging.getLogger(__name__)

_MAX_GROUP = 64


@dataclass(slots=True)
class _Write:
    statement: Callable[[sqlite3.Connection], Any]
    result: Future[Any]
    value: Any = None
    failure: BaseException | None = None
    purges: bool = False

    def settle(self) -> None:
        """Set the future's result and drop all references.

        A failure's traceback refers to frames that refer to this write. If the write still referred to the failure or
        the statement, the documents would stay in memory until the next garbage collection.
        """
        result, value, failure = self.result, self.value, self.failure
        del self.statement, self.result, self.value, self.failure
        if failure is None:
            result.set_result(value)
        else:
            result.set_exception(failure)


@dataclass(frozen=True, slots=True)
class WriterEvents:
    """Callbacks, called in the writer's thread."""

    committed: Callable[[float, int], None] = lambda seconds, writes: None
    """After each commit: its seconds, and the number of its writes."""
    log_truncated: Callable[[Outcome], None] = lambda outcome: None
    """After each attempt to take deleted text out of the write-ahead log."""


class Writer:
    """Runs writes in the order of ``submit``; see the module."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        mark: CommitWatermark,
        presence: Presence,
        truncation: LogTruncation,
        *,
        max_queued: int,
        on_commit: Callable[[float, int], None] = lambda seconds, writes: None,
    ) -> None:
        """Start the thread, which owns ``connection``, ``mark`` and ``truncation`` from now on.

        Args:
            connection: writable, in autocommit mode.
            path: the database's file, for messages.
            mark: gets the number of each commit.
            presence: checked before a commit is acknowledged.
            truncation: of the same connection's log.
            max_queued: maximum length of the queue; over it, ``submit`` raises Overloaded.
            on_commit: called in the thread with the seconds and the number of writes of each commit.
        """
        self._connection = connection
        self._path = path
        self._mark = mark
        self._presence = presence
        self._truncation = truncation
        self._deleted_documents = reads.deleted_documents(connection)
        self._purging = purge.is_due(connection)
        self._on_commit = on_commit
        self.commits = 0
        """Grows with each commit; odd from before a commit until it is announced, while readers may see it or not."""
        self.failure: str | None = None
        """Why the last write failed, in words for clients; None if it succeeded. Any thread may read it."""
        self._queue: queue.Queue[_Write | None] = queue.Queue(max_queued)
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, statement: Callable[[sqlite3.Connection], R]) -> Future[R]:
        """Queue a write; the future has its result once the write is on disk.

        Raises:
            Overloaded: if the queue is full.
            StorageUnavailable: if the writer is closed.
        """
        result: Future[R] = Future()
        with self._closing:
            if self._closed:
                raise StorageUnavailable("the store is closed")
            try:
                self._queue.put_nowait(_Write(statement, result))
            except queue.Full:
                raise Overloaded(
                    f"{self._queue.maxsize} writes wait for the disk already (TANDEM_MAX_QUEUED_WRITES)"
                ) from None
        return result

    async def run(self, statement: Callable[[sqlite3.Connection], R], timeout: float) -> R:
        """Run a write, and return its result once it is on disk.

        Raises:
            DeadlineExceeded: after ``timeout`` seconds; the write may still take effect.
            Overloaded, StorageUnavailable: see ``submit``.
        """
        future = asyncio.wrap_future(self.submit(statement))
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(future)
        except TimeoutError:
            future.add_done_callback(_retrieve)
            raise DeadlineExceeded(
                f"the disk took longer than {duration(timeout)}; the write may still take effect"
            ) from None
        finally:
            del future  # the error's traceback refers to this frame; a reference back would be a reference cycle

    def close(self) -> None:
        """Finish the queued writes, then close the connection and the mark."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            group, last = self._next_group()
            if group:
                self._commit(group)
            del group  # else the waiting thread would keep the written documents in memory
            if not last:
                self._truncation.run_if_due()
        close_whole(self._connection)
        self._mark.close()

    def _next_group(self) -> tuple[list[_Write], bool]:
        """Wait for writes, or until the log is due to be truncated; return the writes and whether they are the last."""
        try:
            following = self._queue.get(timeout=0 if self._purging else self._truncation.seconds_left())
        except queue.Empty:
            return ([self._purge_step()] if self._purging else []), False
        group: list[_Write] = [self._purge_step()] if self._purging else []
        most = _MAX_GROUP + len(group)
        while following is not None:
            group.append(following)
            if len(group) == most:
                return group, False
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    @staticmethod
    def _purge_step() -> _Write:
        return _Write(lambda connection: purge.step(connection, time.time()), Future(), purges=True)

    def _commit(self, group: list[_Write]) -> None:
        started = time.monotonic()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                self._attempt(write)
            commit = counters.next_number(self._connection, "commit")
            deleted_documents = reads.deleted_documents(self._connection)
            purging = purge.is_due(self._connection)
            self.commits += 1
            self._connection.execute("COMMIT")
            self._presence.check()
        except BaseException as error:  # of any kind: otherwise the callers would wait for ever
            self._roll_back()
            self._purging = False  # until a commit succeeds
            # The commit may have taken effect, so the followers have to check the store.
            self.commits += 2 - self.commits % 2
            self._fail(group, explain(error, self._path) if isinstance(error, sqlite3.Error) else error)
            return
        # Before the acknowledgement: a later search has to find the commit; see ``SqliteIndexFeed``.
        self.commits += 1
        self._note(commit)
        # A step that failed is repeated after the next write.
        self._purging = purging and not any(write.failure is not None and write.purges for write in group)
        if deleted_documents != self._deleted_documents:
            self._deleted_documents = deleted_documents
            self._truncation.deleted()
        self.failure = next((str(write.failure) for write in group if isinstance(write.failure, StorageError)), None)
        for write in group:
            write.settle()
        self._on_commit(time.monotonic() - started, len(group))

    def _fail(self, group: list[_Write], cause: BaseException) -> None:
        log.error("commit failed", extra={"error": for_log(cause), "writes": len(group)})
        self.failure = str(cause) if isinstance(cause, StorageError) else "an unexpected error; see the gateway's log"
        for write in group:
            write.failure = cause
            write.settle()

    def _attempt(self, write: _Write) -> None:
        """Run one write in a savepoint, and record its value or failure.

        Raises:
            sqlite3.Error: if SQLite rolled back the whole transaction, as it does when the disk is full.
        """
        self._connection.execute("SAVEPOINT write")
        try:
            write.value = write.statement(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO write")
            self._connection.execute("RELEASE write")
            write.failure = explain(error, self._path) if isinstance(error, sqlite3.Error) else error
            return
        self._connection.execute("RELEASE write")

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            log.exception("roll-back failed")

    def _note(self, commit: int) -> None:
        try:
            self._mark.write(commit)
        except OSError as error:
            # The commit is complete. Without its mark, only a later loss of the log would go unnoticed.
            log.warning("the high-water mark could not be written", extra={"error": str(error)})


def _retrieve(future: "asyncio.Future[R]") -> None:
    """Retrieve the error of an abandoned future, so that asyncio does not warn about it."""
    if not future.cancelled():
        future.exception()
