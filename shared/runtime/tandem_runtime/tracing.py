"""Spans of what a service does, in OpenTelemetry's sense. ``otel`` records them; without it nothing is recorded.

The rest of a service needs three things of tracing:

- ``Tracer`` begins the span of a request, or of work that no request waits for. It is None while tracing is off.
- ``trace.current_span()`` is the span of the running task; None if tracing is off or the trace is not sampled.
- ``within(span)`` makes a span the current one for a block, and ends it.

So code that is not traced pays for one look at a context variable.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from tandem_runtime import trace
from tandem_runtime.trace import Span, TraceContext

_SERVER_ERROR: Final = 500


class Tracer(Protocol):
    """Begins spans. Use it only in the event loop, except for ``close``."""

    def request(self, method: str, incoming: TraceContext | None) -> TraceContext:
        """Begin the span of a request, and return its context; ``TraceContext.span`` is None if it is not sampled.

        Args:
            method: of HTTP.
            incoming: the caller's trace; None begins a trace.
        """

    def begin(self, name: str, *, links: Sequence[TraceContext] = (), started: float | None = None) -> Span | None:
        """Begin a trace of work that no request waits for; None if it is not sampled.

        Args:
            name: of its first span.
            links: the requests that asked for the work.
            started: when the work began, by ``time.monotonic``; None for now.
        """

    def close(self, seconds: float) -> bool:
        """Export the spans that have ended, for at most this time; return whether all were exported. It blocks."""


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """Make a span the current one for a block. It ends with the block, and with the block's error."""
    token = trace.current.set(span.context)
    try:
        yield span
    except BaseException as error:  # a cancelled operation has ended, too
        span.end(error)
        raise
    else:
        span.end()
    finally:
        trace.current.reset(token)


def end_request(span: Span, method: str, status: int, route: str | None) -> None:
    """End the span of a request.

    Args:
        span: the one that ``Tracer.request`` began.
        method: of HTTP.
        status: of the reply; 499 if the client disconnected before it.
        route: template of the path; None for an unknown path. The path itself may have ids that clients chose.
    """
    if route is not None:
        span.rename(f"{method} {route}")
        span.set("http.route", route)
    span.set("http.response.status_code", status)
    span.end(str(status) if status >= _SERVER_ERROR else None)


def wall_ns(moment: float) -> int:
    """Return a moment of ``time.monotonic`` in nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)
