"""The export of spans: its bounds, its counts, and a collector that fails or hangs."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tandem_runtime.span_export import ExportEvents, ExportLimits, SpanExport

WAIT_SECONDS = 20.0


class Held:
    """An ``Exporter`` that waits while ``gate`` is clear, and then returns or raises the first of ``answers``."""

    def __init__(self, answers: Sequence[str | Exception | None] = (), *, held: bool = False) -> None:
        self.batches: list[list[Any]] = []
        self.answers = list(answers)
        self.gate = threading.Event()
        self.called = threading.Event()
        self.stopped = threading.Event()
        if not held:
            self.gate.set()

    def send(self, spans: Sequence[Any]) -> str | None:
        self.batches.append(list(spans))
        self.called.set()
        assert self.gate.wait(WAIT_SECONDS)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self.stopped.set()


class Counts:
    """What the metrics would have."""

    def __init__(self) -> None:
        self.exported = 0
        self.dropped: Counter[str] = Counter()
        self.changed = threading.Condition()

    def events(self) -> ExportEvents:
        return ExportEvents(self._exported, self._dropped)

    def wait(self, spans: int) -> None:
        """Wait until so many spans were exported or dropped."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.exported + self.dropped.total() >= spans, WAIT_SECONDS)

    def _exported(self, spans: int) -> None:
        with self.changed:
            self.exported += spans
            self.changed.notify_all()

    def _dropped(self, reason: str, spans: int) -> None:
        with self.changed:
            self.dropped[reason] += spans
            self.changed.notify_all()


@contextmanager
def exporting(exporter: Held, limits: ExportLimits) -> Iterator[tuple[SpanExport, Counts]]:
    counts = Counts()
    export = SpanExport(exporter, limits, counts.events())
    try:
        yield export, counts
    finally:
        exporter.gate.set()
        export.close(WAIT_SECONDS)


def test_a_full_batch_leaves_at_once_and_the_rest_at_the_end() -> None:
    exporter = Held()
    with exporting(exporter, ExportLimits(queue=100, batch=3, delay=3600.0)) as (export, counts):
        for number in range(3):
            export.add(number)
        counts.wait(3)
        export.add(3)
        assert export.close(WAIT_SECONDS)
    assert exporter.batches == [[0, 1, 2], [3]]
    assert (counts.exported, counts.dropped) == (4, {})


def test_an_incomplete_batch_leaves_after_the_delay() -> None:
    exporter = Held()
    with exporting(exporter, ExportLimits(queue=100, batch=50, delay=0.001)) as (export, counts):
        export.add("a")
        counts.wait(1)
    assert exporter.batches == [["a"]]


def test_a_collector_that_hangs_costs_spans_and_no_time() -> None:
    exporter = Held(held=True)
    with exporting(exporter, ExportLimits(queue=4, batch=2, delay=3600.0)) as (export, counts):
        export.add(0)
        export.add(1)
        assert exporter.called.wait(WAIT_SECONDS)
        for number in range(2, 12):
            export.add(number)  # a call that blocked would never return
        assert counts.dropped == {"queue_full": 6}
        assert not export.close(0.0)
        assert counts.dropped == {"queue_full": 6, "shutdown": 6}  # two on the way, four in the queue
        assert exporter.stopped.is_set()
        exporter.gate.set()
        assert export.close(WAIT_SECONDS)
        assert (counts.dropped.total(), exporter.batches) == (12, [[0, 1]])


def test_a_span_that_ends_after_the_end_is_counted() -> None:
    with exporting(Held(), ExportLimits()) as (export, counts):
        assert export.close(WAIT_SECONDS)
        export.add("late")
        assert counts.dropped == {"shutdown": 1}


def test_failures_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    answers = ["refused " + "x" * 1000, OSError("broken"), None, "again"]
    exporter = Held(answers)
    with exporting(exporter, ExportLimits(queue=10, batch=1, delay=3600.0)) as (export, counts):
        for number in range(1, 5):
            export.add(number)
            counts.wait(number)
        assert export.close(WAIT_SECONDS)
    assert (counts.exported, counts.dropped) == (1, {"export_failed": 3})
    lines = [line for line in caplog.records if line.name == "tandem_runtime.span_export"]
    assert [line.getMessage() for line in lines] == ["spans cannot be exported", "spans cannot be exported"]
    assert lines[0].__dict__["error"].startswith("refused xxx")
    assert len(lines[0].__dict__["error"]) == 300
