"""Records spans with OpenTelemetry's SDK. Import this module only if tracing is on: see ``tracing_setup``.

It leaves OpenTelemetry's global provider alone. Libraries that find one there would record spans of their own, whose
attributes this service does not control.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace import Tracer as SdkTracer

from tandem_runtime.span_export import SpanExport
from tandem_runtime.trace import Failure, Ids, Kind, Span, TraceContext, Value, ids_of, parent_of, trace_id_of
from tandem_runtime.tracing import wall_ns

_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
}
# Each waiting span is bounded: at most these attributes and links, and no longer texts.
_LIMITS: Final = SpanLimits(
    max_span_attributes=32, max_span_attribute_length=256, max_links=128, max_link_attributes=0, max_events=0
)
_ADMISSION: Final = "admission"


class OtelTracer:
    """Implements ``tracing.Tracer``."""

    def __init__(self, service: str, version: str, export: SpanExport) -> None:
        """Make it. It reads OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.

        Args:
            service: name of the service, unless the environment names it.
            version: of the service.
            export: gets the spans that have ended.
        """
        given = OTELResourceDetector().detect().attributes
        resource = Resource.create({"service.name": service, "service.version": version, **given})
        self._export = export
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False, span_limits=_LIMITS)
        self._provider.add_span_processor(_Processor(export))
        self._tracer = self._provider.get_tracer("tandem", version)

    def request(self, method: str, incoming: TraceContext | None) -> TraceContext:
        """Begin the span of a request; see ``Tracer.request``."""
        span = self._tracer.start_span(
            method, _context_of(incoming), SpanKind.SERVER, attributes={"http.request.method": method}
        )
        state = None if incoming is None else incoming.state
        if span.is_recording():
            return OtelSpan(self._tracer, span, state, time.monotonic()).context
        if incoming is not None:
            return incoming  # as a service that takes no part in the trace
        parent = _parent(span)
        return TraceContext(parent, None, trace_id_of(parent))  # so that no other service samples it either

    def begin(self, name: str, *, links: Sequence[TraceContext] = (), started: float | None = None) -> Span | None:
        """Begin a trace of work that no request waits for; see ``Tracer.begin``."""
        started = time.monotonic() if started is None else started
        span = self._tracer.start_span(name, Context(), links=_links(links), start_time=wall_ns(started))
        return OtelSpan(self._tracer, span, None, started) if span.is_recording() else None

    def close(self, seconds: float) -> bool:
        """Export the spans that have ended; see ``Tracer.close``."""
        return self._export.close(seconds)


class OtelSpan:
    """Implements ``trace.Span``."""

    __slots__ = ("_admitted", "_context", "_parent", "_span", "_started", "_state", "_tracer")

    def __init__(self, tracer: SdkTracer, span: SdkSpan, state: str | None, started: float) -> None:
        """Make it.

        Args:
            tracer: records the children.
            span: the span in the SDK.
            state: tracestate of the trace.
            started: when it began, by ``time.monotonic``.
        """
        self._tracer = tracer
        self._span = span
        self._parent = _parent(span)
        self._state = state
        self._started = started
        self._admitted = False
        self._context: Context | None = None

    @property
    def context(self) -> TraceContext:
        """The context that names this span as the parent."""
        # The span does not keep it, since the context refers to the span: a reference cycle.
        return TraceContext(self._parent, self._state, trace_id_of(self._parent), self)

    def child(
        self, name: str, *, kind: Kind = "internal", links: Sequence[TraceContext] = (), started: float | None = None
    ) -> Span:
        """Begin a child; see ``Span.child``."""
        started = time.monotonic() if started is None else started
        return OtelSpan(self._tracer, self._start(name, kind, links, started), self._state, started)

    def record(
        self,
        name: str,
        started: float,
        ended: float,
        *,
        links: Sequence[TraceContext] = (),
        error: Failure = None,
    ) -> None:
        """Record a child that has ended."""
        _end(self._start(name, "internal", links, started), error, ended)

    def admitted(self) -> None:
        """Record the child ``admission``; see ``Span.admitted``."""
        if not self._admitted:
            self._admitted = True
            self.record(_ADMISSION, self._started, time.monotonic())

    def set(self, name: str, value: Value) -> None:
        """Set an attribute."""
        self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        """Change its name."""
        self._span.update_name(name)

    def end(self, error: Failure = None, *, ended: float | None = None) -> None:
        """End it; see ``Span.end``."""
        _end(self._span, error, ended)

    def _start(self, name: str, kind: Kind, links: Sequence[TraceContext], started: float) -> SdkSpan:
        if self._context is None:
            self._context = set_span_in_context(self._span, Context())
        return self._tracer.start_span(
            name, self._context, _KINDS[kind], links=_links(links), start_time=wall_ns(started)
        )


class _Processor(SpanProcessor):
    """Hands spans that have ended to the export."""

    def __init__(self, export: SpanExport) -> None:
        self._export = export

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span."""
        self._export.add(span)


def _end(span: SdkSpan, error: Failure, ended: float | None) -> None:
    if error is not None:
        span.set_attribute("error.type", error if isinstance(error, str) else type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
    span.end(None if ended is None else wall_ns(ended))


def _parent(span: SdkSpan) -> str:
    found = span.get_span_context()
    return parent_of(Ids(found.trace_id, found.span_id, found.trace_flags))


def _context_of(traced: TraceContext | None) -> Context:
    """Return the SDK's context of a caller's trace; an empty one, and not the thread's own, if there is none."""
    if traced is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(_span_context(traced)), Context())


def _span_context(traced: TraceContext) -> SpanContext:
    ids = ids_of(traced.parent)
    state = TraceState() if traced.state is None else TraceState.from_header([traced.state])
    return SpanContext(ids.trace_id, ids.span_id, is_remote=True, trace_flags=TraceFlags(ids.flags), trace_state=state)


def _links(contexts: Sequence[TraceContext]) -> list[Link]:
    return [Link(_span_context(each)) for each in contexts]
