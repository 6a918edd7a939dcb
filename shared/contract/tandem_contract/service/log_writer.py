"""Writes log lines in a thread, so that a log that nobody reads does not stop the service.

A write to a pipe blocks while the pipe is full. In the event loop that would stop every request. Here the lines wait
in memory, and those over the bound are dropped and counted.

The standard library's ``QueueListener`` bounds the number of its records, not their bytes, and its ``stop`` waits for
ever for a writer that is blocked.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING_BYTES: Final = 4 << 20


class LogWriter:
    """Writes to a file descriptor; any thread may use it, a signal's handler too."""

    def __init__(self, fd: int, dropped_line: Callable[[int], bytes], max_bytes: int = MAX_WAITING_BYTES) -> None:
        """Make the writer; its thread starts with the first line.

        Args:
            fd: the file descriptor, which stays open.
            dropped_line: returns the line that says how many were dropped.
            max_bytes: bytes that may wait; what is written just now counts.
        """
        self._fd = fd
        self._dropped_line = dropped_line
        self._max_bytes = max_bytes
        # Its lock may be taken again by the thread that has it: a signal's handler logs, too.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def write(self, data: bytes, lines: int) -> None:
        """Write whole lines soon; returns at once.

        Args:
            data: the lines, with the end of the last.
            lines: their number.
        """
        with self._changed:
            if self._waiting_bytes + len(data) > self._max_bytes:
                self._dropped += lines
                return
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until everything is written, for so many seconds at most; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting_bytes and not self._dropped, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._dropped)
                data = b"".join(self._waiting)
                self._waiting.clear()
                dropped = self._dropped
            _write_all(self._fd, data)
            if dropped:
                _write_all(self._fd, self._dropped_line(dropped))
            with self._changed:
                self._waiting_bytes -= len(data)
                self._dropped -= dropped
                self._changed.notify_all()


def _write_all(fd: int, data: bytes) -> None:
    # Not through sys.stderr: at its end the interpreter waits for the lock that a blocked write would hold.
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # another process that has the pipe or the terminal open may set this
            select.select([], [fd], [])
        except OSError:
            return  # nobody reads the log any more; that is no reason to fail
