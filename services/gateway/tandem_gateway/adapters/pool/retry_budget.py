"""How many calls may be tried again: a token bucket, so that an outage does not double the load."""


class RetryBudget:
    """Grants retries for a share of the calls, and a few a second besides, so that a quiet pool may retry too.

    The clock is an argument; nothing else changes it.
    """

    def __init__(self, now: float, *, share: float = 0.2, per_second: float = 10.0, most: float = 100.0) -> None:
        """Make the bucket, full.

        Args:
            now: seconds of a monotonic clock.
            share: retries a call.
            per_second: retries a second, whatever the calls.
            most: tokens that it holds, which is the longest burst of retries.
        """
        self._share = share
        self._per_second = per_second
        self._most = most
        self._tokens = most
        self._filled = now

    def called(self) -> None:
        """Count a call which is no retry."""
        self._tokens = min(self._most, self._tokens + self._share)

    def allows(self, now: float) -> bool:
        """Return whether a retry would be granted."""
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._filled) * self._per_second)
        self._filled = max(now, self._filled)
        return self._tokens >= 1.0

    def take(self, now: float) -> bool:
        """Grant a retry and return True, or return False."""
        if not self.allows(now):
            return False
        self._tokens -= 1.0
        return True
