"""Follows the progress of jobs. One task reads all of them at once, however many callers follow them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

from tandem_gateway.errors import Overloaded
from tandem_gateway.records.documents import JobRecord

MAX_FOLLOWERS: Final = 100
"""Maximum number of callers that follow jobs at the same time: each holds a connection."""
INTERVAL_SECONDS: Final = 0.5
"""Seconds between two looks at the jobs, and so the shortest time between two events of one caller."""
HEARTBEAT_SECONDS: Final = 15.0
"""Seconds without a change after which a caller gets a heartbeat: proxies close connections that are silent longer."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job at some time, without its failures."""

    job: JobRecord
    blocked_reason: str | None
    """Why its documents are not being embedded; None if nothing blocks them."""


class _Follower:
    """What the task tells one caller: the newest event only, so that a slow caller holds no list of them."""

    def __init__(self) -> None:
        self.event: JobEvent | None = None
        """What the caller has to get yet."""
        self.seen: JobEvent | None = None
        """The last of its events, got or not."""
        self.error: Exception | None = None
        self.ended = False
        self.changed = asyncio.Event()


class JobEvents:
    """The callers that follow jobs; one event loop owns it. No task runs while nobody follows a job."""

    def __init__(
        self,
        progress: Callable[[Collection[str]], Awaitable[list[JobRecord]]],
        blocked_reason: Callable[[str], str | None],
    ) -> None:
        """Make it.

        Args:
            progress: see ``JobStore.progress``.
            blocked_reason: returns why the documents of a collection are not being embedded.
        """
        self._progress = progress
        self._blocked_reason = blocked_reason
        self._followers: defaultdict[str, set[_Follower]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._released = False

    @property
    def followers(self) -> int:
        """Number of callers that follow a job."""
        return sum(map(len, self._followers.values()))

    async def follow(self, job_id: str) -> AsyncGenerator[JobEvent | None]:
        """Yield the job now and after each change, and None as a heartbeat.

        It ends after the event of a job that has ended, when the job is forgotten, and when the service stops.

        Raises:
            Overloaded: too many callers follow jobs.
            StorageError: the store could not be read.
        """
        if self.followers >= MAX_FOLLOWERS:
            raise Overloaded(f"{MAX_FOLLOWERS} requests follow jobs already, which is the limit")
        follower = _Follower()
        self._followers[job_id].add(follower)
        try:
            self._show(follower, await self._progress([job_id]))
            if self._released:
                follower.ended = True
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._watch(), name="job-events")
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await follower.changed.wait()
                except TimeoutError:
                    yield None
                    continue
                follower.changed.clear()
                if follower.error is not None:
                    raise follower.error
                event, follower.event, ended = follower.event, None, follower.ended
                if event is not None:
                    yield event
                if ended:
                    return
        finally:
            self._leave(job_id, follower)

    def release(self) -> None:
        """Let all callers go, now and later: the service stops."""
        self._released = True
        for followers in self._followers.values():
            for follower in followers:
                follower.ended = True
                follower.changed.set()

    async def _watch(self) -> None:
        while self._followers:
            await asyncio.sleep(INTERVAL_SECONDS)
            asked = list(self._followers)
            try:
                found = {job.job_id: job for job in await self._progress(asked)} if asked else {}
            except Exception as error:
                for job_id in asked:
                    for follower in self._followers.get(job_id, ()):
                        follower.error = error
                        follower.changed.set()
                continue
            for job_id in asked:
                for follower in self._followers.get(job_id, ()):
                    self._show(follower, [found[job_id]] if job_id in found else [])

    def _show(self, follower: _Follower, found: list[JobRecord]) -> None:
        """Tell a caller of its job, if there is something new; no job was found if it is forgotten."""
        for job in found:
            event = JobEvent(job, self._blocked_reason(job.collection) if job.finished_at is None else None)
            if event != follower.seen:
                follower.event = follower.seen = event
                follower.changed.set()
        if not found or found[0].finished_at is not None:
            follower.ended = True
            follower.changed.set()

    def _leave(self, job_id: str, follower: _Follower) -> None:
        self._followers[job_id].discard(follower)
        if not self._followers[job_id]:
            del self._followers[job_id]
