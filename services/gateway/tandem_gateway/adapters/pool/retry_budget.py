"""Retry budget: a token bucket, so that retries do not double the load during an outage."""


class RetryBudget:
    """Grants retries for a share of the calls, plus a few per second, so that a pool with little traffic may retry too.

    The state depends on the calls and on the clock, which is an argument.
    """

    def __init__(self, now: float, *, share: float = 0.2, per_second: float = 10.0, most: float = 100.0) -> None:
        """Make the bucket, full.

        Args:
            now: seconds of a monotonic clock.
            share: retries granted per call.
            per_second: retries granted per second, independent of the calls.
            most: capacity of the bucket in tokens, which is the longest burst of retries.
        """
        self._share = share
        self._per_second = per_second
        self._most = most
        self._tokens = most
        self._filled = now

    def called(self) -> None:
        """Count a call that is not a retry."""
        self._tokens = min(self._most, self._tokens + self._share)

    def allows(self, now: float) -> bool:
        """Return whether a retry would be granted."""
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._filled) * self._per_second)
        self._filled = max(now, self._filled)
        return self._tokens >= 1.0

    def take(self, now: float) -> bool:
        """Take a token for a retry; return False if there is none."""
        if not self.allows(now):
            return False
        self._tokens -= 1.0
        return True
