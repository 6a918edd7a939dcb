"""What gateways that share a store tell each other."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SharedShares:
    """The shares of the canary that all gateways have."""

    version: int
    """Grows with each change."""
    canary_weight: int
    """In percent."""
    shadow_percent: int
    roll_back: str | None
    """The last rollback, as its gateway has written it; None if there was none."""
