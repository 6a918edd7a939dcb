"""The spans of the embedding of stored documents: each batch begins a trace, which links to the requests of its jobs.

The trace has the claim of the documents, the calls to the embedder and the commit of the vectors.
"""

import time
from collections.abc import Awaitable
from typing import TypeVar

from tandem_gateway.records.documents import PendingBatch
from tandem_gateway.use_cases.job_traces import JobTraces
from tandem_runtime.trace import Span, current_span
from tandem_runtime.tracing import Tracer, within

T = TypeVar("T")


class WorkSpans:
    """Begins the traces of batches."""

    def __init__(self, tracer: Tracer, traces: JobTraces) -> None:
        """Make it.

        Args:
            tracer: records the spans.
            traces: of the requests that stored the documents.
        """
        self._tracer = tracer
        self._traces = traces

    def begin(self, batch: PendingBatch, started: float) -> Span | None:
        """Begin the trace of a batch that was just claimed; None if it is not sampled.

        Args:
            batch: the documents.
            started: when the claim began, by ``time.monotonic``.
        """
        links = self._traces.of(passage.job for passage in batch.passages)
        span = self._tracer.begin("embed documents", links=links, started=started)
        if span is None:
            return None
        span.record("claim", started, time.monotonic())
        span.set("tandem.collection", batch.collection)
        span.set("tandem.passages", len(batch.passages))
        return span


async def stored(commit: Awaitable[T]) -> T:
    """Await the commit of vectors, within a span if the task has one."""
    span = current_span()
    if span is None:
        return await commit
    with within(span.child("store vectors")):
        return await commit


def failed(reason: str) -> None:
    """Note in the span of the task, if it has one, why the batch was not embedded."""
    span = current_span()
    if span is not None:
        span.set("error.type", reason)
