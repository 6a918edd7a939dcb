"""W3C Trace Context: the service forwards the caller's trace headers unchanged and logs the trace id.

The specification requires this of a service that records no spans of its own
(https://www.w3.org/TR/trace-context/, sections 2.3 and 4). The service never begins a trace.
"""

import contextvars
import re
from dataclasses import dataclass
from typing import Final

from tandem_contract import headers

MAX_STATE_CHARS: Final = 512
"""The service drops a longer tracestate; the specification asks to forward at least this many characters."""

# version "-" trace-id "-" parent-id "-" flags, all in lower case. Ids of zeros and version ff are invalid.
_PARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(?P<more>-[\x21-\x7e]{0,200})?\Z"
)
_STATE = re.compile(r"[\x20-\x7e\t]*\Z")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A valid traceparent, with its tracestate if that may be forwarded."""

    parent: str
    state: str | None
    trace_id: str
    """32 hexadecimal digits."""


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
