"""Watches an event loop from inside: how long one piece of work blocks everything else."""

import asyncio
import os
import time
from types import TracebackType
from typing import Self

_BEAT_SECONDS = 0.002


class Watchdog:
    """Measures the longest time, in seconds, for which the event loop was held while the block ran.

    The loop is held by what its own thread computes, and by what another thread computes while it has the
    interpreter's lock. A busy machine delays a loop as well, which does not count: Linux tells how long the thread was
    ready to run and waited for a processor (second number of ``schedstat``, in nanoseconds).
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
        await asyncio.sleep(2 * _BEAT_SECONDS)  # the next beat measures the work that holds the loop now
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

        def waited() -> float:
            return int(os.pread(schedule, 100, 0).split()[1]) / 1e9

        queue = waited()
        try:
            while True:
                wall, process, thread = time.monotonic(), time.process_time(), time.thread_time()
                await asyncio.sleep(_BEAT_SECONDS)
                own = time.thread_time() - thread
                others = time.process_time() - process - own
                late = time.monotonic() - wall - _BEAT_SECONDS
                # Reading the file releases the interpreter's lock. The wait to get it back is the watchdog's own, so it
                # lies outside the measured interval.
                before, queue = queue, waited()
                blocked = late - own - (queue - before)
                self.longest = max(self.longest, own + max(0.0, min(blocked, others)))
        finally:
            os.close(schedule)
