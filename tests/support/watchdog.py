"""Watches an event loop from inside: how long one piece of work has kept everything else from running."""

import asyncio
import time
from types import TracebackType
from typing import Self

_BEAT_SECONDS = 0.002


class Watchdog:
    """Measures the longest time for which the loop was held while the block ran, in seconds.

    A machine that is busy delays a loop as well. Only the time in which this process computed counts: a delay without
    computing is the machine's.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(_BEAT_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(2 * _BEAT_SECONDS)  # what held the loop just now is measured by the next beat
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            wall, computed = time.monotonic(), time.process_time()
            await asyncio.sleep(_BEAT_SECONDS)
            held = min(time.monotonic() - wall - _BEAT_SECONDS, time.process_time() - computed)
            self.longest = max(self.longest, held)
