"""Exports spans in a thread of its own, from a queue with a bound, so that a slow collector never slows a request.

A span that finds the queue full is dropped and counted, as are the spans of a batch that the exporter gives up and
those that are left when the service ends.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

log = logging.getLogger(__name__)

DropReason = Literal["queue_full", "export_failed", "shutdown"]
_MAX_REASON_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """Bounds of the queue; a span takes about 3 KiB.

    Attributes:
        queue: maximum number of spans that wait.
        batch: maximum number of spans in one call to the collector; at most ``queue``.
        delay: seconds after which an incomplete batch goes out.
    """

    queue: int = 2048
    batch: int = 512
    delay: float = 5.0


@dataclass(frozen=True, slots=True)
class ExportEvents:
    """Callbacks for metrics. Any thread may call them."""

    exported: Callable[[int], None] = lambda spans: None
    dropped: Callable[[DropReason, int], None] = lambda reason, spans: None


class Exporter(Protocol):
    """Sends spans to a collector."""

    def send(self, spans: Sequence[Any]) -> str | None:
        """Send spans; return None, or why they are given up. It blocks."""

    def stop(self) -> None:
        """End a ``send`` that waits for its next attempt."""


class SpanExport:
    """The queue and its thread."""

    def __init__(self, exporter: Exporter, limits: ExportLimits, events: ExportEvents | None = None) -> None:
        """Start the thread.

        Args:
            exporter: sends the spans.
            limits: see ``ExportLimits``.
            events: see ``ExportEvents``.
        """
        self._exporter = exporter
        self._limits = limits
        self._events = events or ExportEvents()
        self._queue: deque[Any] = deque()
        self._sending = 0
        self._closing = False
        self._given_up = False
        """Whether ``close`` has counted the spans that are being sent."""
        self._failing = False
        self._wake = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="span-export", daemon=True).start()

    def add(self, span: Any) -> None:
        """Queue a span that has ended, or drop it; does not block."""
        waiting = len(self._queue)
        if waiting >= self._limits.queue or self._closing:
            self._events.dropped("shutdown" if self._closing else "queue_full", 1)
            return
        self._queue.append(span)
        if waiting + 1 >= self._limits.batch and not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float) -> bool:
        """Export the queue for at most this time, and drop the rest; return whether there was none. It blocks."""
        self._closing = True
        self._wake.set()
        if self._ended.wait(seconds):
            return True
        self._given_up = True
        left = self._sending + len(self._queue)
        self._queue.clear()
        self._exporter.stop()
        if left:
            self._events.dropped("shutdown", left)
            log.warning("spans were not exported in time", extra={"spans": left})
        return not left

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._limits.delay)
            self._wake.clear()
            self._export()
        self._export()
        self._ended.set()

    def _export(self) -> None:
        """Export what is in the queue now. The spans of these calls go into the next batch."""
        rest = len(self._queue)
        while rest > 0:
            batch: list[Any] = []
            with contextlib.suppress(IndexError):  # ``close`` empties the queue
                while len(batch) < min(rest, self._limits.batch):
                    batch.append(self._queue.popleft())
            if not batch:
                return
            rest -= len(batch)
            self._sending = len(batch)
            self._tell(self._send(batch), len(batch))
            self._sending = 0

    def _send(self, batch: Sequence[Any]) -> str | None:
        try:
            return self._exporter.send(batch)
        except Exception as error:  # a defect of the exporter must not end the thread
            return f"{type(error).__name__}: {error}"

    def _tell(self, failure: str | None, spans: int) -> None:
        """Count a batch, and log the first failure and the end of the failures."""
        if failure is None:
            self._events.exported(spans)
        elif not self._given_up:
            self._events.dropped("export_failed", spans)
        if (failure is not None) != self._failing:
            self._failing = failure is not None
            if failure is None:
                log.info("spans are exported again")
            else:
                log.warning("spans cannot be exported", extra={"error": failure[:_MAX_REASON_CHARS]})
