"""Writes log lines in a thread, so that a log without a reader does not stop the service.

A write to a pipe blocks while the pipe is full. In the event loop, that would stop every request. This writer queues
the lines in memory; it drops and counts lines over the limit.

The standard library's ``QueueListener`` limits the number of its records, not their bytes, and its ``stop`` waits for
ever for a blocked writer.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING_BYTES: Final = 4 << 20


class LogWriter:
    """Writes to a file descriptor; any thread and any signal handler may use it."""

    def __init__(self, fd: int, dropped_line: Callable[[int], bytes], max_bytes: int = MAX_WAITING_BYTES) -> None:
        """Make the writer; its thread starts with the first line.

        Args:
            fd: the file descriptor, which stays open.
            dropped_line: returns the log line for a number of dropped lines.
            max_bytes: maximum size of the queue, including the lines of the current write.
        """
        self._fd = fd
        self._dropped_line = dropped_line
        self._max_bytes = max_bytes
        # A reentrant lock: a signal handler may log while its thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def write(self, data: bytes, lines: int) -> None:
        """Queue whole lines for writing; returns at once.

        Args:
            data: the lines, including the last line's end.
            lines: number of the lines.
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
        """Wait at most ``seconds`` until the thread has written every line; return whether it has."""
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
    # Not through sys.stderr: a blocked write would hold its lock, and the interpreter waits for that lock at exit.
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # another process that has the pipe or the terminal open may set this
            select.select([], [fd], [])
        except OSError:
            return  # the log has no reader any more, which is no reason to fail
