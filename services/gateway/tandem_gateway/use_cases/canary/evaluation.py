"""Evaluates the canary against stable: pure functions of the statistics of a time window.

A single bad moment, such as a pause that delays a few calls, must not cause a rollback. A limit that is crossed
therefore only raises a suspicion. The canary is rolled back if the observations made after that cross a limit again.
"""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["errors", "latency", "parity"]

# Differences in p95 up to this one are ignored, in seconds: a ratio of two small times means little.
_MIN_DIFFERENCE = 0.01


@dataclass(frozen=True, slots=True)
class RollbackLimits:
    """Limits beyond which the canary is rolled back."""

    error_rate: float = 0.05
    """Roll back if a larger share of the canary's calls fails, and that share is larger than stable's."""
    p95_ratio: float = 2.0
    """Roll back if the canary's p95 latency exceeds stable's p95 by this factor."""
    cosine: float = 0.99
    """Roll back if the 5th percentile of the cosines with stable's vectors, for the same texts, is below this."""
    samples: int = 50
    """Minimum number of calls, or of compared texts, for a suspicion. Half of it is enough to confirm one."""
    window: float = 60.0
    """Seconds for which an observation counts."""


@dataclass(frozen=True, slots=True)
class CallStats:
    """Statistics of one pool's calls in the window."""

    calls: int = 0
    errors: int = 0
    timed: int = 0
    """Calls whose latency counts: answered queries. Calls for documents are larger, and wait for queries."""
    p95: float | None = None
    """95th percentile of the latency of these calls, in seconds; None without any."""

    @property
    def error_rate(self) -> float:
        """Share of the calls that failed; 0 if there are no calls."""
        return self.errors / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """The observations of a window."""

    stable: CallStats
    canary: CallStats
    texts: int = 0
    """Number of texts for which the vectors of both pools were compared."""
    cosine: float | None = None
    """5th percentile of the cosines of these vectors; None if there are none."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that the canary has crossed."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A limit was crossed once; ``since`` is in seconds of the monotonic clock."""

    reason: Reason
    since: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluation of the canary."""

    suspicion: Suspicion | None = None
    verdict: Breach | None = None
    """The reason for a rollback; None if the canary stays."""


def breach(evidence: Evidence, limits: RollbackLimits, samples: int) -> Breach | None:
    """Return the limit that is crossed; None if none is, or if there are fewer than ``samples`` observations."""
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
        and canary.p95 > stable.p95 + _MIN_DIFFERENCE
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
    """Evaluate the canary.

    Args:
        suspicion: result of the last evaluation.
        everything: all observations of the window.
        fresh: the observations of the window since the suspicion.
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
