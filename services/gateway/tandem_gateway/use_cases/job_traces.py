"""Remembers which request stored the documents of a job, so that the trace of their embedding links to it."""

from collections.abc import Iterable

from tandem_runtime.trace import TraceContext


class JobTraces:
    """The traces of the newest jobs that this process accepted. They are lost at a restart, and others have none."""

    def __init__(self, most: int = 1000) -> None:
        """Remember at most this number of jobs; each takes about 1 KiB."""
        self._most = most
        self._traces: dict[str, TraceContext] = {}

    def remember(self, job_id: str, context: TraceContext) -> None:
        """Remember the trace of a job, in the place of the oldest if there are too many."""
        # Without its span, which would keep the attributes.
        self._traces[job_id] = TraceContext(context.parent, context.state, context.trace_id)
        if len(self._traces) > self._most:
            del self._traces[next(iter(self._traces))]

    def of(self, jobs: Iterable[str | None]) -> list[TraceContext]:
        """Return the traces of jobs, each once, in order; None and unknown jobs have none."""
        return [self._traces[job] for job in dict.fromkeys(jobs) if job is not None and job in self._traces]
