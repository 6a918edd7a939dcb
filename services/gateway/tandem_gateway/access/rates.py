"""The arithmetic of rate limits: the generic cell rate algorithm (GCRA), as pure functions.

The whole state of a rate is one number: the time at which the caller's allowance is full again, in seconds of a clock
that never goes back. A caller with a full allowance may use ``burst`` at once. Each use moves the time by the seconds
in which the rate gives the same back. A use that is known only afterwards may lead to a debt.
"""

from dataclasses import dataclass

ROUNDING = 1e-6
"""Part of a unit by which sums of floating point numbers may be wrong."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_second`` units come back in a second, up to ``burst`` of them."""

    per_second: float
    burst: int


def available(full_at: float, now: float, rate: Rate) -> float:
    """Return how many units may be used now; negative while there is a debt."""
    return rate.burst - max(full_at - now, 0.0) * rate.per_second


def used(full_at: float, now: float, units: float, rate: Rate) -> float:
    """Return when the allowance is full again after this use."""
    return max(full_at, now) + units / rate.per_second


def wait(full_at: float, now: float, units: float, rate: Rate) -> float:
    """Return the seconds until so many units, at most ``burst``, are available; 0 if they are now."""
    return max(0.0, (units - available(full_at, now, rate)) / rate.per_second)
