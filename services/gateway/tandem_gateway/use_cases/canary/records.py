"""What the traffic shift is told and tells: settings, events for metrics, and its state for an operator."""

from collections.abc import Callable
from dataclasses import dataclass

from tandem_gateway.records.embedders import PoolState
from tandem_gateway.use_cases.canary.evaluation import Evidence, Reason, RollbackLimits


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """How the traffic is shared at first, and when the canary loses its share."""

    limits: RollbackLimits = RollbackLimits()
    attempt: float = 2.0
    """Seconds that the canary has for a query before stable is asked."""
    canary_weight: int = 0
    """Percent of the calls that the canary gets."""
    shadow_percent: int = 0
    """Percent of stable's queries that are sent to the canary as well."""


@dataclass(frozen=True, slots=True)
class CanaryEvents:
    """What the shift reports, for metrics."""

    set_shares: Callable[[int, int], None] = lambda weight, shadow: None
    """The canary's weight and the shadow share, in percent."""
    answered: Callable[[str], None] = lambda pool: None
    """A call was answered by this pool."""
    fell_back: Callable[[str], None] = lambda reason: None
    """A call of the canary's share was given to stable: ``down``, ``model``, or the error's name."""
    rolled_back: Callable[[Reason], None] = lambda reason: None
    shadowed: Callable[[str, str], None] = lambda stable, canary: None
    """How a shadow call ended at each pool: ``ok`` or the error's name; ``dropped`` for the canary if not sent."""
    cosine: Callable[[float], None] = lambda cosine: None
    """Of one text's vectors by both pools."""
    difference: Callable[[float], None] = lambda seconds: None
    """The canary's time less stable's, of one shadow call."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """The canary lost its share; ``at`` is in seconds since the epoch."""

    at: float
    reason: Reason
    detail: str
    canary_weight: int
    """What it was before."""


@dataclass(frozen=True, slots=True)
class CanaryState:
    """How the traffic is shared, and what was observed of it."""

    canary_weight: int
    shadow_percent: int
    stable: PoolState
    canary: PoolState | None
    evidence: Evidence
    last_roll_back: RollBack | None
