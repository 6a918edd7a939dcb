"""The access log: one line for each request, written in batches.

One call of the logging module for each line costs as much as routing and parsing the request together. The access log
therefore collects lines and writes them with one call, at most 50 ms later. Each line carries its own time, in the
format of all other lines. A killed process loses only the lines of the last 50 ms.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec

from tandem_runtime import trace
from tandem_runtime.logs import request_id, writer
from tandem_runtime.request_id import Scope

_FLUSH_SECONDS: Final = 0.05
_FLUSH_BYTES: Final = 1 << 16


class _Line(msgspec.Struct):
    time: str
    level: str
    service: str
    logger: str
    message: str
    request_id: str | None
    method: str
    path: str
    status: int
    milliseconds: float
    trace_id: str | msgspec.UnsetType = msgspec.UNSET


class AccessLog:
    """Collects lines and writes them in batches. Use it only in the event loop."""

    def __init__(self, service: str, write: Callable[[bytes, int], object]) -> None:
        """Make the log.

        Args:
            service: name in the lines.
            write: takes whole lines and their number, and must not block.
        """
        self._service = service
        self._logger = f"tandem_{service}.access"
        self._write = write
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._prefix = ""

    def record(self, scope: Scope, status: int, seconds: float) -> None:
        """Record a request that just ended; an ``edge.Observer``."""
        line = _Line(
            self._now(),
            "info",
            self._service,
            self._logger,
            "request",
            request_id.get(),
            scope["method"],
            scope["path"],
            status,
            round(seconds * 1000, 3),
        )
        traced = trace.current.get()
        if traced is not None:
            line.trace_id = traced.trace_id
        try:
            encoded = self._encoder.encode(line)
        except UnicodeError:  # a path may hold a lone surrogate
            line.path = ascii(line.path)
            encoded = self._encoder.encode(line)
        self._lines.append(encoded)
        self._size += len(encoded)
        if self._size >= _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write the collected lines. Call it once more when the service ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            count = len(self._lines)
            self._lines.append(b"")
            data = b"\n".join(self._lines)
            self._lines, self._size = [], 0
            self._write(data, count)

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{int((now - second) * 1000):03d}Z"


def make_access_log(service: str, *, wanted: bool) -> AccessLog | None:
    """Return the access log; None if it is disabled or the log level is above ``info``."""
    if wanted and logging.getLogger().isEnabledFor(logging.INFO):
        return AccessLog(service, writer(service).write)
    return None
