"""Recent observations of both pools, and their evaluation; the clock is an argument."""

from collections import deque
from collections.abc import Iterable

from tandem_gateway.use_cases.canary.evaluation import (
    Breach,
    CallStats,
    Evidence,
    RollbackLimits,
    Suspicion,
    evaluate,
    percentile,
)

# Maximum number of observations of each kind. Limits the memory, and the time of an evaluation to about 1 ms.
_MOST = 2000


class CanaryStats:
    """Keeps the observations of the last ``RollbackLimits.window`` seconds; one event loop owns it."""

    def __init__(self, limits: RollbackLimits) -> None:
        """Make it without observations."""
        self._limits = limits
        self._calls: dict[str, deque[tuple[float, float | None, bool]]] = {
            "stable": deque(maxlen=_MOST),
            "canary": deque(maxlen=_MOST),
        }
        self._cosines: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._suspicion: Suspicion | None = None

    def stable(self, now: float, seconds: float | None, *, failed: bool = False) -> None:
        """Record a call to the stable pool; ``seconds`` is None if its latency does not count."""
        self._calls["stable"].append((now, seconds, failed))

    def canary(self, now: float, seconds: float | None, *, failed: bool = False) -> None:
        """Record a call to the canary, or one that could not be sent."""
        self._calls["canary"].append((now, seconds, failed))

    def compared(self, now: float, cosines: Iterable[float]) -> None:
        """Record the cosines of both pools' vectors, one per text."""
        self._cosines.extend((now, cosine) for cosine in cosines)

    def forget(self) -> None:
        """Discard all observations and the suspicion."""
        for calls in self._calls.values():
            calls.clear()
        self._cosines.clear()
        self._suspicion = None

    def evidence(self, now: float, since: float = float("-inf")) -> Evidence:
        """Return the statistics of the window, limited to the observations after ``since``."""
        after = max(now - self._limits.window, since)
        cosines = [cosine for time, cosine in self._cosines if time > after]
        return Evidence(
            self._figures("stable", after),
            self._figures("canary", after),
            len(cosines),
            percentile(cosines, 0.05),
        )

    def verdict(self, now: float) -> Breach | None:
        """Evaluate the canary, and return the reason for a rollback; None if it stays."""
        before = self._suspicion
        everything = self.evidence(now)
        fresh = self.evidence(now, before.since) if before is not None else everything
        opinion = evaluate(before, everything, fresh, now, self._limits)
        self._suspicion = opinion.suspicion
        return opinion.verdict

    def _figures(self, pool: str, after: float) -> CallStats:
        calls = [call for call in self._calls[pool] if call[0] > after]
        times = [seconds for _, seconds, failed in calls if seconds is not None and not failed]
        return CallStats(len(calls), sum(failed for _, _, failed in calls), len(times), percentile(times, 0.95))
