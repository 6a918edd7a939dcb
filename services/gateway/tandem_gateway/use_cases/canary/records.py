"""Records of the canary router: its settings, its events for metrics, and its state for operators."""

from collections.abc import Callable
from dataclasses import dataclass

from tandem_gateway.records.embedders import PoolState
from tandem_gateway.use_cases.canary.evaluation import Evidence, Reason, RollbackLimits


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """The shares of traffic at startup, and the limits for a rollback."""

    limits: RollbackLimits = RollbackLimits()
    attempt: float = 2.0
    """Seconds to wait for the canary's answer to a query before the router calls stable."""
    canary_weight: int = 0
    """Percentage of the calls that go to the canary."""
    shadow_percent: int = 0
    """Percentage of stable's queries that the router also sends to the canary."""


@dataclass(frozen=True, slots=True)
class CanaryEvents:
    """Callbacks for metrics."""

    set_shares: Callable[[int, int], None] = lambda weight, shadow: None
    """The canary's weight and the shadow share were set, in percent."""
    answered: Callable[[str], None] = lambda pool: None
    """This pool answered a call."""
    fell_back: Callable[[str], None] = lambda reason: None
    """A call of the canary's share went to stable; the reason is ``down``, ``model`` or the error's name."""
    rolled_back: Callable[[Reason], None] = lambda reason: None
    shadowed: Callable[[str, str], None] = lambda stable, canary: None
    """Outcome of a shadow call at each pool: ``ok`` or the error's name; for the canary ``dropped`` if not sent."""
    cosine: Callable[[float], None] = lambda cosine: None
    """Cosine of the two pools' vectors for one text."""
    difference: Callable[[float], None] = lambda seconds: None
    """The canary's time minus stable's, for one shadow call."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """A rollback of the canary; ``at`` is in seconds since the epoch."""

    at: float
    reason: Reason
    detail: str
    canary_weight: int
    """The canary's weight before the rollback."""


@dataclass(frozen=True, slots=True)
class CanaryState:
    """The shares of traffic, the state of both pools, and the observations of them."""

    canary_weight: int
    shadow_percent: int
    stable: PoolState
    canary: PoolState | None
    evidence: Evidence
    last_roll_back: RollBack | None
