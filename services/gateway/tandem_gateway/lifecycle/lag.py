"""Measures how far the indexes are behind a store that other gateways write, too."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from tandem_gateway.errors import GatewayError
from tandem_gateway.lifecycle.nearness import Step, follow

_PAUSE_SECONDS: Final = 1.0


class Lag:
    """Brings the indexes to the end of the store once a second, and knows how long that took.

    A search with the default consistency waits for the same, so the lag is also the time that it waits.
    """

    def __init__(self, steps: Sequence[Step], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Measure nothing yet; ``run`` measures.

        Args:
            steps: see ``nearness.follow``.
            clock: returns seconds.
        """
        self._steps = steps
        self._clock = clock
        self._last = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds that the last round took, or that the current one takes if it takes longer."""
        since = self._since
        return self._last if since is None else max(self._last, self._clock() - since)

    async def run(self) -> None:
        """Measure once a second, until cancelled. While the store cannot be read, the lag grows."""
        while True:
            await self.measure()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def measure(self) -> None:
        """Follow the store to the position that it has now; a failed round goes on with the next call."""
        if self._since is None:
            self._since = self._clock()
        try:
            await follow(self._steps)
        except GatewayError:
            return  # whatever needs the store reports the error
        self._last = self._clock() - self._since
        self._since = None
