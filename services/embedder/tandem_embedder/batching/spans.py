"""The spans of batches: one for each batch, and for each request one of its wait and one of its batches.

A batch has texts of several requests. Its span is in the trace of the first of them, and links to the spans of all. The
span ``infer`` of each request links to the spans of its batches.
"""

import time
from collections.abc import Sequence
from typing import Any

from tandem_embedder.batching.batch_queue import Batch
from tandem_runtime.trace import Failure, Span, TraceContext


class RequestSpans:
    """The times of one traced request in the scheduler."""

    def __init__(self, span: Span, arrival: float) -> None:
        """Make it.

        Args:
            span: of the request.
            arrival: when its texts were queued, by ``time.monotonic``.
        """
        self.span = span
        self._arrival = arrival
        self._began: float | None = None
        self._batches: list[TraceContext] = []
        self._ended = False

    def began(self, batch: TraceContext, started: float) -> None:
        """Note a batch with texts of the request."""
        if self._began is None:
            self._began = started
        self._batches.append(batch)

    def end(self, error: Failure = None) -> None:
        """Record both spans; only the first call counts."""
        if self._ended:
            return
        self._ended = True
        now = time.monotonic()
        if self._began is None:
            self.span.record("queue", self._arrival, now, error=error)
            return
        self.span.record("queue", self._arrival, self._began)
        self.span.record("infer", self._began, now, links=self._batches, error=error)


def begin_batch(requests: Sequence[RequestSpans], batch: Batch[Any], started: float) -> Span:
    """Begin the span of a batch.

    Args:
        requests: those of its texts that are traced, at least one; a request may be there several times.
        batch: the texts.
        started: when it began, by ``time.monotonic``.
    """
    distinct = list(dict.fromkeys(requests))
    links = list(dict.fromkeys(each.span.context for each in distinct))
    span = distinct[0].span.child("batch", links=links, started=started)
    span.set("tandem.lane", batch.lane)
    span.set("tandem.texts", len(batch.entries))
    span.set("tandem.tokens", batch.tokens)
    span.set("tandem.padded_tokens", batch.cost)
    context = span.context
    for each in distinct:
        each.began(context, started)
    return span
