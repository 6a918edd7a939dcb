"""Shadow calls: copies of stable's calls that go to the canary, to compare both answers."""

import asyncio
from collections.abc import Callable

import numpy as np

from tandem_gateway.errors import GatewayError
from tandem_gateway.ports.embedder import EmbedderPool
from tandem_gateway.records.embedders import Embeddings
from tandem_gateway.use_cases.canary.calls import FAILURES, Call
from tandem_gateway.use_cases.canary.records import CanaryEvents
from tandem_gateway.use_cases.canary.stats import CanaryStats

# Maximum number of concurrent shadow calls. More are dropped, so that a slow canary cannot fill the memory.
_MAX_SHADOWS = 8

StableResult = tuple[Embeddings, float] | str
"""Stable's answer and the seconds that it took, or the name of stable's error."""


class ShadowCalls:
    """Sends each shadow call in its own task; one event loop owns this object."""

    def __init__(
        self,
        canary: EmbedderPool,
        stats: CanaryStats,
        events: CanaryEvents,
        clock: Callable[[], float],
        *,
        on_end: Callable[[float], None],
    ) -> None:
        """Make it without calls.

        Args:
            canary: pool that gets the shadow calls.
            stats: where to record the outcomes.
            events: see ``CanaryEvents``.
            clock: monotonic clock, in seconds.
            on_end: called after each shadow call with the time at which the canary answered.
        """
        self._canary = canary
        self._stats = stats
        self._events = events
        self._clock = clock
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, call: Call, timeout: float) -> "asyncio.Future[StableResult] | None":
        """Start a shadow call.

        Returns:
            A future that the caller must set once stable has answered; None if too many shadow calls are in flight.
        """
        if len(self._tasks) >= _MAX_SHADOWS:
            return None
        loop = asyncio.get_running_loop()
        result: asyncio.Future[StableResult] = loop.create_future()
        task = loop.create_task(self._compare(call, timeout, result))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return result

    async def stop(self) -> None:
        """Cancel the calls in flight, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compare(self, call: Call, timeout: float, result: "asyncio.Future[StableResult]") -> None:
        """Send the call to the canary as well, and compare its answer with stable's."""
        started = self._clock()
        found: Embeddings | None = None
        outcome = "ok"
        try:
            found = await call.send(self._canary, timeout)
        except GatewayError as error:
            outcome = type(error).__name__
        now = self._clock()
        if found is not None:
            self._stats.canary(now, now - started)
        elif outcome in {kind.__name__ for kind in FAILURES}:
            self._stats.canary(now, None, failed=True)
        stable = await result
        self._events.shadowed(stable if isinstance(stable, str) else "ok", outcome)
        if found is not None and not isinstance(stable, str):
            wanted, seconds = stable
            self._events.difference(now - started - seconds)
            if found.vectors.shape == wanted.vectors.shape:
                cosines = np.einsum("ij,ij->i", found.vectors, wanted.vectors).tolist()
                self._stats.compared(now, cosines)
                for cosine in cosines:
                    self._events.cosine(cosine)
        self._on_end(now)
