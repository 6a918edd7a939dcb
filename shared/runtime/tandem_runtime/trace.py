"""W3C Trace Context: reads and writes ``traceparent`` and ``tracestate``, and knows the trace of the running task.

The specification is at https://www.w3.org/TR/trace-context/. A service that records no spans forwards the caller's
headers unchanged and begins no trace (sections 2.3 and 4). A service that records spans forwards the id of its own span
instead; see ``tracing``. In both cases each log line has the trace id.
"""

import contextvars
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from tandem_contract import headers

MAX_STATE_CHARS: Final = 512
"""The service drops a longer tracestate; the specification asks to forward at least this many characters."""

# version "-" trace-id "-" parent-id "-" flags, all in lower case. Ids of zeros and version ff are invalid.
_PARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(?P<more>-[\x21-\x7e]{0,200})?\Z"
)
_STATE = re.compile(r"[\x20-\x7e\t]*\Z")


Kind = Literal["internal", "client", "server"]
Value = str | int | float | bool
Failure = BaseException | str | None
"""Why an operation failed: an exception or the name of a kind of error; None if it did not."""


class Span(Protocol):
    """One recorded operation. Use it only in the event loop. No method raises or blocks.

    Times are seconds of ``time.monotonic``. Attributes must not have the content of a document, a query or a key.
    """

    @property
    def context(self) -> "TraceContext":
        """The context that names this span as the parent; ``TraceContext.span`` is this span."""

    def child(
        self, name: str, *, kind: Kind = "internal", links: Sequence["TraceContext"] = (), started: float | None = None
    ) -> "Span":
        """Begin a child; ``started`` is None for now. End it with ``end``."""

    def record(
        self,
        name: str,
        started: float,
        ended: float,
        *,
        links: Sequence["TraceContext"] = (),
        error: Failure = None,
    ) -> None:
        """Record a child that has ended."""

    def admitted(self) -> None:
        """Record the child ``admission``, from the begin of this span until now; only the first call counts."""

    def set(self, name: str, value: Value) -> None:
        """Set an attribute."""

    def rename(self, name: str) -> None:
        """Change its name."""

    def end(self, error: Failure = None, *, ended: float | None = None) -> None:
        """End it; of an exception only the type is recorded, because its message may quote a request."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A valid traceparent, with its tracestate if that may be forwarded."""

    parent: str
    state: str | None
    trace_id: str
    """32 hexadecimal digits."""
    span: Span | None = None
    """The service's own span that ``parent`` names; None if the service does not record this trace."""


current: contextvars.ContextVar[TraceContext | None] = contextvars.ContextVar("tandem_trace", default=None)
"""The trace of the running task; None if the caller sent none."""


def read(parents: list[bytes], states: list[bytes]) -> TraceContext | None:
    """Return the trace of a request from its header values, in order; None if there is no valid one.

    Args:
        parents: values of traceparent; more than one is invalid.
        states: values of tracestate, which may be split over several headers.
    """
    if len(parents) != 1:
        return None
    parent = parents[0].decode("latin-1").strip(" \t")
    found = _PARENT.match(parent)
    if found is None or (found["version"] == "00" and found["more"] is not None):  # a later version may have more
        return None
    state = b",".join(states).decode("latin-1").strip(" \t")
    kept = state if state and len(state) <= MAX_STATE_CHARS and _STATE.match(state) else None
    return TraceContext(parent, kept, found["trace_id"])


def headers_of(trace: TraceContext) -> dict[str, str]:
    """Return the headers that forward a trace."""
    found = {headers.TRACEPARENT: trace.parent}
    if trace.state is not None:
        found[headers.TRACESTATE] = trace.state
    return found


class Ids(NamedTuple):
    """The numbers in a traceparent."""

    trace_id: int
    """128 bits, not 0."""
    span_id: int
    """64 bits, not 0."""
    flags: int
    """8 bits; the lowest says whether the trace is sampled."""


def ids_of(parent: str) -> Ids:
    """Return the numbers in a valid traceparent."""
    _, trace_id, span_id, flags = parent.split("-")[:4]
    return Ids(int(trace_id, 16), int(span_id, 16), int(flags, 16))


def trace_id_of(parent: str) -> str:
    """Return the 32 hexadecimal digits of the trace id in a valid traceparent."""
    return parent[3:35]


def parent_of(ids: Ids) -> str:
    """Return the traceparent, of version 00, with these numbers."""
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.flags:02x}"


def current_span() -> Span | None:
    """Return the span of the running task; None if none is recorded."""
    traced = current.get()
    return None if traced is None else traced.span


def admitted() -> None:
    """Note that the request of the running task is admitted, if its span is recorded; see ``Span.admitted``."""
    span = current_span()
    if span is not None:
        span.admitted()


def record(name: str, started: float, ended: float) -> None:
    """Record a child, which has ended, of the span of the running task, if there is one; see ``Span.record``."""
    span = current_span()
    if span is not None:
        span.record(name, started, ended)
