"""Truncates a database's write-ahead log after deletions, so that the log does not keep the deleted text."""

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tandem_gateway.adapters.sqlite.checkpoint_schedule import CheckpointSchedule, Delays

log = logging.getLogger(__name__)

Outcome = Literal["done", "busy", "failed"]


class LogTruncation:
    """Runs the checkpoints of a ``CheckpointSchedule``. Only the thread that owns the connection may use it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        delays: Delays,
        on_attempt: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        """Count a log with content as a deletion: a killed process may have left deleted text in it.

        Args:
            connection: writable, in autocommit mode.
            path: the database's file.
            delays: between deletions and checkpoints.
            on_attempt: called with the outcome of each attempt: ``busy`` if a reader prevented it.
        """
        self._connection = connection
        self._path = path
        self._on_attempt = on_attempt
        self._failing = False
        self._schedule = CheckpointSchedule(delays)
        if _size(path.with_name(f"{path.name}-wal")):
            self.deleted()

    def deleted(self) -> None:
        """Record that a commit deleted text."""
        self._schedule.deleted(time.monotonic())

    def seconds_left(self) -> float | None:
        """Return the seconds until the next attempt is due, at least 0; None if there is nothing to erase."""
        due_at = self._schedule.due_at()
        return None if due_at is None else max(0.0, due_at - time.monotonic())

    def run_if_due(self) -> None:
        """Truncate the log if that is due. Waits for no reader, and raises no error of SQLite."""
        if self.seconds_left() != 0.0:
            return
        outcome = self._attempt()
        self._schedule.attempted(time.monotonic(), complete=outcome == "done")
        self._on_attempt(outcome)

    def _attempt(self) -> Outcome:
        try:
            complete = truncate(self._connection)
        except sqlite3.Error as error:
            if not self._failing:  # the retries may fail each second
                log.warning("deleted text is still in a log", extra={"path": str(self._path), "error": str(error)})
            self._failing = True
            return "failed"
        self._failing = False
        return "done" if complete else "busy"


def truncate(connection: sqlite3.Connection) -> bool:
    """Copy the log into the database and truncate it, and return whether that is complete.

    It is not if a reader still needs the log. The function does not wait for the reader, because the thread has other
    work.

    Raises:
        sqlite3.Error: if the disk reports an error.
    """
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout=0").fetchall()
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout)}").fetchall()
    return not busy


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
