"""Progress output of a preparation: one line per step, and a progress bar on a terminal.

Lines go to standard output and are flushed immediately, also into a pipe. The bar appears only on a terminal, where
tqdm can overwrite its own line.
"""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

HEARTBEAT_SECONDS = 10.0


class Progress:
    """Prints progress to the user."""

    def report(self, line: str) -> None:
        """Print one line."""
        print(line, flush=True)

    def track(self, items: Iterable[Item], total: int, label: str) -> Iterable[Item]:
        """Return ``items``, with a progress bar on a terminal."""
        # disable=None: no bar if standard error is not a terminal.
        tracked: Iterable[Item] = tqdm(items, total=total, desc=label, unit="text", disable=None, leave=False)
        return tracked

    @property
    def on_terminal(self) -> bool:
        """Whether standard error is a terminal, where a progress bar is visible."""
        return sys.stderr.isatty()

    @contextmanager
    def heartbeat(self, label: str) -> Iterator[None]:
        """Print every ``HEARTBEAT_SECONDS`` that ``label`` is still running; on a terminal the bar shows it instead."""
        if self.on_terminal:
            yield
            return
        finished = threading.Event()

        def beat() -> None:
            seconds = HEARTBEAT_SECONDS
            while not finished.wait(HEARTBEAT_SECONDS):
                self.report(f"  still {label} ({seconds:.0f} s)")
                seconds += HEARTBEAT_SECONDS

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()
