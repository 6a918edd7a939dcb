"""Sends spans by OTLP over HTTP. Import this module only if tracing is on: see ``tracing_setup``.

OpenTelemetry's exporter reads OTEL_EXPORTER_OTLP_ENDPOINT and the variables beside it, and retries a failed call within
its timeout. It logs every attempt; this module keeps these lines out of the log, and returns the last as the reason.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

_LIBRARY: Final = "opentelemetry"
_UNKNOWN: Final = "the collector did not take them"


class _LastLine(logging.Handler):
    """Keeps the last warning of a library."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self.text = record.getMessage()


class OtlpExporter:
    """Implements ``span_export.Exporter``."""

    def __init__(self) -> None:
        """Make it from the environment, without a call to the collector."""
        library = logging.getLogger(_LIBRARY)
        self._last = _LastLine()
        library.handlers = [self._last]
        library.propagate = False
        self._exporter = OTLPSpanExporter()

    def send(self, spans: Sequence[Any]) -> str | None:
        """Send spans; see ``Exporter.send``."""
        self._last.text = None
        if self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return None
        return self._last.text or _UNKNOWN

    def stop(self) -> None:
        """End a ``send`` that waits for its next attempt."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
