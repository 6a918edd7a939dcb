"""Runs several processes as one: they start together, and end in reverse order."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tandem_tools.process import READY_SECONDS, Process


class ProcessGroup:
    """Processes in the order in which they depend on each other; a context manager that leaves none behind.

    Entering starts all of them, then waits until each is ready. Leaving ends the last one first, since it calls those
    before it.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        ready_seconds: float = READY_SECONDS,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Name the processes.

        Args:
            processes: none of them started.
            ready_seconds: time from the first start until all must be ready.
            report: gets a line when a process is ready, and when it did not end in time and was killed.
        """
        self.processes = list(processes)
        self._ready_seconds = ready_seconds
        self._report = report
        self._running = ExitStack()

    def __enter__(self) -> Self:
        started = time.monotonic()
        try:
            for process in self.processes:
                self._running.callback(self._stop, process)
                process.start()
            for process in self.processes:
                if process.ready is not None:
                    process.wait_ready(self._ready_seconds, since=started)
                    self._report(f"the {process.name} is ready")
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def check(self) -> None:
        """Notice a process that has ended.

        Raises:
            ProcessFailed: naming it, with the end of its log.
        """
        for process in self.processes:
            process.check()

    def _stop(self, process: Process) -> None:
        if not process.stop():
            self._report(f"the {process.name} did not stop within {process.stop_seconds:g} s and was killed")


def interrupt_once() -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP raise KeyboardInterrupt, and ignore the next ones.

    A program that runs processes calls this at its start. The first signal unwinds it, and no second one interrupts
    the end of its processes.
    """
    seen = False

    def interrupt(*_: object) -> None:
        nonlocal seen
        if not seen:
            seen = True
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
