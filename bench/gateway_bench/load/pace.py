"""Decides when the next request is due, in one of two ways; the caller passes the clock.

*Closed loop*: each client sends its next request when it has the answer to the previous one. A slow server gets fewer
requests, so these latencies do not show what a user sees who does not wait for others.

*Open loop*: requests are due at a fixed rate whether or not the server keeps up, and latency counts from the moment at
which a request was due, not from when it could be sent. This avoids "coordinated omission" (Gil Tene, "How NOT to
Measure Latency", 2013): after a stall of a second, every request that was due in it is late, as it is for users.
"""

from typing import Protocol


class Pace(Protocol):
    """Hands out the times at which requests are due; times are seconds of a monotonic clock."""

    def take(self, now: float) -> float | None:
        """Return the due time of the next request to send, at most ``now``; None if none is due."""
        ...

    def is_over(self, now: float) -> bool:
        """Return whether every request has been taken."""
        ...


class ClosedLoop:
    """Every request is due at once, until a number of requests or a time is reached."""

    def __init__(self, start: float, *, count: int | None = None, seconds: float | None = None) -> None:
        """Begin at ``start``, and end after ``count`` requests or ``seconds``; exactly one of them must be given."""
        if (count is None) == (seconds is None):
            raise ValueError("a closed loop ends after a count or after a time: give one of them")
        self._left = count
        self._end = None if seconds is None else start + seconds

    def take(self, now: float) -> float | None:
        """Return ``now``, or None at the end."""
        if self.is_over(now):
            return None
        if self._left is not None:
            self._left -= 1
        return now

    def is_over(self, now: float) -> bool:
        """Return whether the count or the time is used up."""
        return self._left == 0 if self._left is not None else self._end is not None and now >= self._end


class OpenLoop:
    """``count`` requests, the i-th of them due at ``start + i / rate``, however late it is taken."""

    def __init__(self, start: float, *, rate: float, count: int) -> None:
        """Create the schedule; ``rate`` is in requests a second."""
        if rate <= 0:
            raise ValueError(f"rate: a number over 0 was expected, not {rate:g}")
        self._start = start
        self._rate = rate
        self._count = count
        self._taken = 0

    def due(self, number: int) -> float:
        """Return when request ``number``, counted from 0, is due."""
        return self._start + number / self._rate

    def take(self, now: float) -> float | None:
        """Return the oldest time that is due and not yet taken."""
        if self._taken == self._count or self.due(self._taken) > now:
            return None
        self._taken += 1
        return self.due(self._taken - 1)

    def is_over(self, now: float) -> bool:
        """Return whether all of them were taken."""
        return self._taken == self._count

    @property
    def not_taken(self) -> int:
        """Requests that were not taken."""
        return self._count - self._taken
