"""Places that callers share, in order of arrival; more callers wait."""

import asyncio
from collections import deque
from collections.abc import Callable


class Slots:
    """Counts the places taken; one event loop owns it."""

    def __init__(self, limit: Callable[[], int]) -> None:
        """Make it with all places free.

        Args:
            limit: the number of places now. A caller that wants more than that gets them once all places are free.
        """
        self._limit = limit
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """Number of places taken."""
        return self._taken

    async def take(self, count: int = 1) -> None:
        """Take places; wait for them after all callers that wait already. Give them back by ``give_back``."""
        if not self._waiting and self._fits(count):
            self._taken += count
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, granted)
        self._waiting.append(entry)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._waiting.remove(entry)
            else:
                self._taken -= count
            self._grant()  # those behind may fit now
            raise

    def give_back(self, count: int = 1) -> None:
        """Free places that ``take`` took."""
        self._taken -= count
        self._grant()

    def _fits(self, count: int) -> bool:
        return not self._taken or self._taken + count <= self._limit()

    def _grant(self) -> None:
        while self._waiting:
            count, granted = self._waiting[0]
            if not granted.done():
                if not self._fits(count):
                    return
                self._taken += count
                granted.set_result(None)
            elif granted.cancelled():
                return  # its task removes it, and grants
            self._waiting.popleft()
