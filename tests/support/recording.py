"""Records spans in memory, with OpenTelemetry's SDK."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from tandem_runtime import trace
from tandem_runtime.otel import OtelTracer
from tandem_runtime.span_export import ExportLimits, SpanExport


class InMemory:
    """An ``Exporter`` that keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def send(self, spans: Sequence[Any]) -> str | None:
        self.spans += spans
        return None

    def stop(self) -> None:
        """Nothing waits."""


class Recording:
    """A tracer, and its spans once it is closed."""

    def __init__(self) -> None:
        self._memory = InMemory()
        self.tracer = OtelTracer("tandem-test", "1.2.3", SpanExport(self._memory, ExportLimits(delay=60.0)))

    def spans(self) -> list[ReadableSpan]:
        """Close the tracer, and return the spans in the order in which they ended."""
        assert self.tracer.close(20.0)
        return self._memory.spans

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name; closes the tracer."""
        return [span for span in self.spans() if span.name == name]


@contextmanager
def request(recording: Recording, incoming: trace.TraceContext | None = None) -> Iterator[trace.TraceContext]:
    """Run a block within the span of a request."""
    context = recording.tracer.request("POST", incoming)
    token = trace.current.set(context)
    try:
        yield context
    finally:
        trace.current.reset(token)
        if context.span is not None:
            context.span.end()


def links(span: ReadableSpan) -> set[int]:
    """Return the ids of the spans to which a span links."""
    return {link.context.span_id for link in span.links}


def span_id(context: trace.TraceContext) -> int:
    """Return the id of the span that a context names."""
    return trace.ids_of(context.parent).span_id
