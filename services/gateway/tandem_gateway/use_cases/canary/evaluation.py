"""Whether the canary is as good as stable: pure, over figures of a window of time.

One bad moment, such as a pause of a few calls' length, decides nothing. A limit that is crossed only raises a
suspicion; the canary is rolled back if what is observed after that crosses the limit again, by itself.
"""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["errors", "latency", "parity"]

# A difference of p95 that nobody notices, in seconds: a ratio of two small times means little.
_LEAST_DIFFERENCE = 0.01


@dataclass(frozen=True, slots=True)
class RollbackLimits:
    """When the canary is rolled back."""

    error_rate: float = 0.05
    """Share of its calls that fail, if stable's share is less."""
    p95_ratio: float = 2.0
    """95th percentile of its calls' time to that of stable's."""
    cosine: float = 0.99
    """5th percentile of the cosines of its vectors with stable's for the same texts."""
    samples: int = 50
    """Least calls, or texts compared, that a judgement needs."""
    window: float = 60.0
    """Seconds for which an observation counts."""


@dataclass(frozen=True, slots=True)
class CallStats:
    """Of one pool's calls in the window."""

    calls: int = 0
    errors: int = 0
    timed: int = 0
    """Calls whose time counts: queries that were answered. Documents are sent in larger calls, and wait for queries."""
    p95: float | None = None
    """Seconds; None without such a call."""

    @property
    def error_rate(self) -> float:
        """Share of the calls that failed; 0 without any."""
        return self.errors / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was observed in a window."""

    stable: CallStats
    canary: CallStats
    texts: int = 0
    """Texts whose vectors by both were compared."""
    cosine: float | None = None
    """5th percentile of their cosines; None without any."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that is crossed."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A limit was crossed at a time, in seconds of the monotonic clock."""

    reason: Reason
    since: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is thought of the canary now."""

    suspicion: Suspicion | None = None
    verdict: Breach | None = None
    """Set if it is to be rolled back."""


def breach(evidence: Evidence, limits: RollbackLimits, samples: int) -> Breach | None:
    """Return the limit that is crossed; None if none is, or there are fewer than ``samples`` to tell."""
    stable, canary = evidence.stable, evidence.canary
    if canary.calls >= samples and canary.error_rate > max(limits.error_rate, stable.error_rate):
        return Breach(
            "errors",
            f"{canary.errors} of {canary.calls} calls failed, {stable.errors} of {stable.calls} of stable's; "
            f"the limit is {limits.error_rate:g}",
        )
    if (
        min(canary.timed, stable.timed) >= samples
        and canary.p95 is not None
        and stable.p95 is not None
        and canary.p95 > limits.p95_ratio * stable.p95
        and canary.p95 > stable.p95 + _LEAST_DIFFERENCE
    ):
        return Breach(
            "latency",
            f"p95 is {canary.p95 * 1000:.1f} ms, stable's {stable.p95 * 1000:.1f} ms; "
            f"the limit is {limits.p95_ratio:g} times that",
        )
    if evidence.texts >= samples and evidence.cosine is not None and evidence.cosine < limits.cosine:
        return Breach(
            "parity",
            f"one in twenty of {evidence.texts} cosines with stable's vectors is {evidence.cosine:.4f} or less; "
            f"the limit is {limits.cosine:g}",
        )
    return None


def evaluate(
    suspicion: Suspicion | None, everything: Evidence, fresh: Evidence, now: float, limits: RollbackLimits
) -> Evaluation:
    """Return what is thought of the canary.

    Args:
        suspicion: what was thought before.
        everything: observed in the window.
        fresh: of that, what was observed since the suspicion.
        now: seconds of the monotonic clock.
        limits: see ``RollbackLimits``.
    """
    if suspicion is None:
        found = breach(everything, limits, limits.samples)
        return Evaluation(Suspicion(found.reason, now) if found else None)
    half = -(-limits.samples // 2)
    found = breach(fresh, limits, half)
    if found is not None:
        return Evaluation(suspicion, found)
    observed = {"errors": fresh.canary.calls, "latency": fresh.canary.timed, "parity": fresh.texts}
    return Evaluation(suspicion if observed[suspicion.reason] < half else None)


def percentile(values: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile; None without values.

    Args:
        values: in any order.
        share: from 0 to 1, such as 0.95.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-round(share * 10_000) * len(ordered) // 10_000) - 1))]
