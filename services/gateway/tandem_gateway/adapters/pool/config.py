"""What a pool is told, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass

from tandem_gateway.adapters.pool.health import EjectionPolicy


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Times are in seconds."""

    attempt: float = 2.0
    """Most that the first try of a query's call may take while another replica serves."""
    resolve: float = 5.0
    """Between two questions for a name's addresses."""
    identify: bool = False
    """Find out the model of a replica that nobody calls; done anyway where there are several."""
    policy: EjectionPolicy = EjectionPolicy()


@dataclass(frozen=True, slots=True)
class PoolEvents:
    """What the pool reports, for metrics."""

    retried: Callable[[str], None] = lambda reason: None
    """A call is tried at another replica; the reason is the error's name, or ``fingerprint``."""
    ejected: Callable[[str], None] = lambda reason: None
    left: Callable[[str], None] = lambda label: None
    """A replica is gone for good, and its series with it."""
    unresolved: Callable[[], None] = lambda: None
    """A name could not be resolved."""
