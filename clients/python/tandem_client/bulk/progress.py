"""Shows the progress of a bulk ingest: by a bar of rich, or by a function of the caller."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from tandem_client.bulk.tally import IngestReport

Show = Callable[[IngestReport], object]
"""Called with the numbers so far, in the thread of the caller."""


def shown(progress: bool | Show | None, total: int | None) -> AbstractContextManager[Show]:
    """Return what shows the progress.

    Args:
        progress: a function that is called after each batch; False for nothing; True for a bar on standard error; None
            for a bar if standard error is a terminal and rich is installed.
        total: number of documents; None if it is not known.

    Raises:
        ModuleNotFoundError: ``progress`` is True, and rich is not installed.
    """
    if callable(progress):
        return nullcontext(progress)
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return nullcontext(_nothing)
    try:
        return _Bar(total)
    except ModuleNotFoundError:
        if progress:
            raise
        return nullcontext(_nothing)


def _nothing(report: IngestReport) -> None:
    pass


class _Bar:
    """A bar with the number of documents, the rate and, with a total, the time left."""

    def __init__(self, total: int | None) -> None:
        # rich is an extra, and takes a tenth of a second to import.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("documents", total=total, rate="")

    def __enter__(self) -> Show:
        self._bar.start()
        return self._show

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def _show(self, report: IngestReport) -> None:
        done = report.accepted + report.skipped + report.resumed
        rate = f"{(done - report.resumed) / report.seconds:,.0f}/s" if report.seconds else ""
        left_out = report.skipped + report.failed
        self._bar.update(self._task, completed=done, rate=f"{rate}, {left_out} failed" if left_out else rate)
