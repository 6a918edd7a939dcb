"""Decides when deleted text has to leave a write-ahead log: pure, with the clock as an argument.

SQLite keeps old versions of pages in the log until a checkpoint truncates it, so the log can hold the text of a deleted
document. A checkpoint after each deletion would double the disk's syncs. The schedule therefore waits for a pause
between deletions, but not for ever. A reader of the database can prevent a checkpoint; then the schedule retries.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds between deletions and checkpoints, all at least 0."""

    quiet: float = 5.0
    """A checkpoint is due this long after the last deletion."""
    latest: float = 60.0
    """A checkpoint is due at most this long after the first deletion that none has covered."""
    retry: float = 1.0
    """Minimum time between two attempts."""


class CheckpointSchedule:
    """Tracks the deletions that no checkpoint has covered. Times are seconds of one monotonic clock."""

    def __init__(self, delays: Delays) -> None:
        """Begin without deletions."""
        self._delays = delays
        self._first: float | None = None
        self._last = 0.0
        self._attempt: float | None = None

    def deleted(self, now: float) -> None:
        """Record a deletion that was committed at ``now``."""
        if self._first is None:
            self._first = now
        self._last = now

    def attempted(self, now: float, *, complete: bool) -> None:
        """Record a checkpoint at ``now``; a complete one covers every deletion so far."""
        self._attempt = None if complete else now
        if complete:
            self._first = None

    def due_at(self) -> float | None:
        """Return when the next attempt is due; None if there is nothing to erase."""
        if self._first is None:
            return None
        due = min(self._last + self._delays.quiet, self._first + self._delays.latest)
        return due if self._attempt is None else max(due, self._attempt + self._delays.retry)
