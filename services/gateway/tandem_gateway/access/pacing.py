"""How long a refused request waits for its answer: a caller that repeats refused requests at once gets them later.

A refusal costs the gateway some 0.3 ms. A caller with 64 connections that ignores ``Retry-After`` would else take most
of the event loop's time from the others. What waits is bounded by the number of connections.
"""

import time
from collections.abc import Callable
from typing import Final

from tandem_gateway.access.rates import ROUNDING, Rate, available, used

HELD_SECONDS: Final = 0.25
"""How long a refusal waits."""
OF_A_CALLER: Final = Rate(5.0, 10)
"""Refusals of one caller that are answered at once."""
OF_STRANGERS: Final = Rate(50.0, 100)
"""Refusals of all requests without a valid key that are answered at once."""


class Pace:
    """Decides how long each refusal waits, from the times of those before."""

    __slots__ = ("_clock", "_full_at", "_rate")

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        """Make it.

        Args:
            rate: of the refusals that do not wait.
            clock: returns seconds and never goes back.
        """
        self._rate = rate
        self._clock = clock
        self._full_at = 0.0

    def wait(self) -> float:
        """Return for how many seconds the next refusal waits, and count it."""
        now = self._clock()
        if available(self._full_at, now, self._rate) < 1 - ROUNDING:
            return HELD_SECONDS
        self._full_at = used(self._full_at, now, 1, self._rate)
        return 0.0
