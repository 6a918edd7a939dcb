"""The spans of a call that embeds the queries of several requests.

The call has a span of its own, in the trace of the first request that is recorded. It links to the spans of all of
them. Each request has a span of its wait and one of the call in its own trace; the latter links to the call's span.
"""

import time
from collections.abc import Sequence

from tandem_gateway.use_cases.fair_turns import Waiting
from tandem_gateway.use_cases.waiting_query import Query
from tandem_runtime import trace
from tandem_runtime.trace import Failure, Span

CALL = "embed queries"


class CallSpans:
    """Gives the queries of a call their times, once."""

    def __init__(self, batch: Sequence[Waiting[Query]], started: float, span: Span | None) -> None:
        """Make it.

        Args:
            batch: the queries of which some are traced or explained; may be empty.
            started: when the call began, by ``time.monotonic``.
            span: of the call; None if no request is recorded.
        """
        self._batch = batch
        self._started = started
        self._span = span

    def end(self, error: Failure = None) -> None:
        """End the call. A second call does nothing: the vectors may have come before an error."""
        batch, self._batch = self._batch, ()
        if not batch:
            return
        now = time.monotonic()
        links = [] if self._span is None else [self._span.context]
        for waiting in batch:
            stages = waiting.query.stages
            if stages is not None:
                stages.add("queue", waiting.arrival, self._started)
                stages.add("embed", self._started, now, links=links, error=error)
        if self._span is not None:
            self._span.end(error, ended=now)


_NOTHING = CallSpans((), 0.0, None)


def begin_call(batch: Sequence[Waiting[Query]], started: float) -> CallSpans:
    """Begin the call of the running task; ``trace.current`` is its span afterwards, if there is one.

    Args:
        batch: the queries.
        started: when the call began, by ``time.monotonic``.
    """
    timed = [waiting for waiting in batch if waiting.query.stages is not None]
    if not timed:
        return _NOTHING
    traces = [waiting.query.trace for waiting in timed]
    recorded = list(dict.fromkeys(traced for traced in traces if traced is not None and traced.span is not None))
    if not recorded or recorded[0].span is None:
        return CallSpans(timed, started, None)
    span = recorded[0].span.child(CALL, links=recorded, started=started)
    span.set("tandem.queries", len(batch))
    trace.current.set(span.context)
    return CallSpans(timed, started, span)
