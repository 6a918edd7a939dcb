"""Logs: one JSON object per line on standard error, with the id of its request.

``log.info("index saved", extra={"collection": "default"})`` gives ``{"time", "level", "service", "logger",
"message", "request_id"?, "trace_id"?, "collection", ...}``.
"""

import atexit
import contextvars
import logging
import time
from typing import Any, Final, TextIO

import msgspec

from tandem_runtime import trace
from tandem_runtime.log_writer import LogWriter

_STANDARD_ERROR: Final = 2
_FLUSH_SECONDS: Final = 2.0

request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("tandem_request_id", default=None)
"""The id of the running task's request; None outside a request."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; the items of ``extra`` become its fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        self._encoder = msgspec.json.Encoder(enc_hook=str)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line; a value of a type unknown to JSON appears as its ``str``."""
        milliseconds = int(record.msecs)
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{milliseconds:03d}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        current = request_id.get()
        if current is not None:
            fields["request_id"] = current
        traced = trace.current.get()
        if traced is not None:
            fields["trace_id"] = traced.trace_id
        fields.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        # A log line must never fail: a value may hold a lone surrogate, contain itself, or raise in its ``str``.
        try:
            return self._encoder.encode(fields).decode()
        except Exception:
            return self._encoder.encode({name: ascii(value) for name, value in fields.items()}).decode()


class _Handler(logging.Handler):
    """Passes each record's line to the writer."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record).encode() + b"\n", 1)


_writer: LogWriter | None = None


def writer(service: str) -> LogWriter:
    """Return the process's one writer to standard error."""
    global _writer  # noqa: PLW0603 - there is one standard error
    if _writer is None:
        formatter = JsonFormatter(service)

        def dropped_line(count: int) -> bytes:
            record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "log lines were dropped", None, None)
            record.dropped = count
            return formatter.format(record).encode() + b"\n"

        _writer = LogWriter(_STANDARD_ERROR, dropped_line)
        atexit.register(flush)
    return _writer


def flush() -> None:
    """Wait at most 2 s until all lines are written. Call it before ``os._exit``."""
    if _writer is not None:
        _writer.flush(_FLUSH_SECONDS)


def configure(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send every logger's records as lines of JSON to standard error (by a thread), or directly to ``stream``."""
    handler = _Handler(writer(service)) if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # our access log has more fields
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # the access log has the requests that it warns about
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log each request that it sends
    logging.captureWarnings(True)
