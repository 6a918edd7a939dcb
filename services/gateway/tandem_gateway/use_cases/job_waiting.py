"""Waits for the end of jobs. One task asks the store for all of them at once, however many callers wait."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from typing import Final

TICK_SECONDS: Final = 0.25
"""Seconds after which the store is asked again, although nobody has notified: a deletion can also end a job."""


class JobWaiting:
    """The callers that wait for jobs; one event loop owns it. No task runs while nobody waits."""

    def __init__(self, unfinished: Callable[[Collection[str]], Awaitable[set[str]]]) -> None:
        """Make it; ``unfinished`` returns the jobs among the given ones that have not ended."""
        self._unfinished = unfinished
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._released = False

    @property
    def waiting(self) -> int:
        """Number of jobs that callers wait for."""
        return len(self._waiting)

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return when the job has ended, after ``seconds``, or at once after ``release``.

        Raises:
            StorageError: the store could not be read.
        """
        if self._released:
            return
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[job_id].add(ended)
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="job-waiting")
        try:
            async with asyncio.timeout(seconds):
                await ended
        except TimeoutError:
            pass
        finally:
            self._leave(job_id, ended)

    def notify(self) -> None:
        """Have the jobs looked at now: some may have ended."""
        self._changed.set()

    def release(self) -> None:
        """Let all callers go, now and later: the service stops."""
        self._released = True
        self._settle(list(self._waiting), None)

    def _leave(self, job_id: str, ended: asyncio.Future[None]) -> None:
        callers = self._waiting.get(job_id)
        if callers is not None:
            callers.discard(ended)
            if not callers:
                del self._waiting[job_id]

    async def _watch(self) -> None:
        while self._waiting:
            self._changed.clear()
            asked = list(self._waiting)
            try:
                unfinished = await self._unfinished(asked)
            except Exception as error:
                self._settle(asked, error)
                continue
            self._settle([job_id for job_id in asked if job_id not in unfinished], None)
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _settle(self, job_ids: Collection[str], error: Exception | None) -> None:
        for job_id in job_ids:
            for ended in self._waiting.pop(job_id, ()):
                if ended.done():
                    continue
                if error is None:
                    ended.set_result(None)
                else:
                    ended.set_exception(error)
