"""What the user sees of a preparation: one line a step, and a bar on a terminal.

Lines go to standard output at once, also into a pipe; a bar is drawn only on a terminal, where tqdm can
overwrite its own line.
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
    """Says what is being done."""

    def say(self, line: str) -> None:
        """Print one line."""
        print(line, flush=True)

    def track(self, items: Iterable[Item], total: int, label: str) -> Iterable[Item]:
        """Return ``items``, counted by a bar on a terminal and by nothing elsewhere."""
        # None: no bar where standard error is no terminal.
        tracked: Iterable[Item] = tqdm(items, total=total, desc=label, unit="text", disable=None, leave=False)
        return tracked

    @property
    def on_terminal(self) -> bool:
        """Whether somebody watches."""
        return sys.stderr.isatty()

    @contextmanager
    def heartbeat(self, label: str) -> Iterator[None]:
        """Say that ``label`` is still going on, every ``HEARTBEAT_SECONDS``, where there is no bar to show it."""
        if self.on_terminal:
            yield
            return
        finished = threading.Event()

        def beat() -> None:
            seconds = HEARTBEAT_SECONDS
            while not finished.wait(HEARTBEAT_SECONDS):
                self.say(f"  still {label} ({seconds:.0f} s)")
                seconds += HEARTBEAT_SECONDS

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()
