"""Writes log lines in a thread, so that a log without a reader does not stop the service.

A write to a pipe blocks while the pipe is full. In the event loop, that would stop every request. This writer queues
the lines in memory; it drops and counts lines over the limit.

The standard library's ``QueueListener`` limits the number of its records, not their bytes, and its ``stop`` waits for
ever for a blocked writer.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

MAX_WAITING_BYTES: Final = 4 << 20
RETRY_SECONDS: Final = 1.0
"""Seconds between two attempts to write the same lines."""


class LogWriter:
    """Writes lines in order; any thread and any signal handler may use it."""

    def __init__(
        self,
        write: int | Callable[[bytes], bool],
        dropped_line: Callable[[int], bytes],
        max_bytes: int = MAX_WAITING_BYTES,
        *,
        on_dropped: Callable[[int], object] = lambda lines: None,
    ) -> None:
        """Make the writer; its thread starts with the first line.

        Args:
            write: a file descriptor, which stays open; or a function that writes whole lines in the writer's thread
                and returns whether it has. The writer tries the same lines again once a second until it has.
            dropped_line: returns the log line for a number of dropped lines.
            max_bytes: maximum size of the queue, including the lines of the current write.
            on_dropped: called with a number of lines that were just dropped, in the thread that wrote them.
        """
        self._write = partial(_write_all, write) if isinstance(write, int) else write
        self._dropped_line = dropped_line
        self._max_bytes = max_bytes
        self._on_dropped = on_dropped
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
                self._on_dropped(lines)
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
            told = data + self._dropped_line(dropped) if dropped else data
            while not self._write(told):
                time.sleep(RETRY_SECONDS)
            with self._changed:
                self._waiting_bytes -= len(data)
                self._dropped -= dropped
                self._changed.notify_all()


def _write_all(fd: int, data: bytes) -> bool:
    # Not through sys.stderr: a blocked write would hold its lock, and the interpreter waits for that lock at exit.
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # another process that has the pipe or the terminal open may set this
            select.select([], [fd], [])
        except OSError:
            break  # the log has no reader any more, which is no reason to fail
    return True
