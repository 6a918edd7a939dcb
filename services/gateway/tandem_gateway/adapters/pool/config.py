"""Settings of a pool, and its events for metrics."""

from collections.abc import Callable
from dataclasses import dataclass

from tandem_gateway.adapters.pool.health import EjectionPolicy


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Settings of a pool; times are in seconds."""

    attempt: float = 2.0
    """Maximum duration of a query's first attempt while another replica is available."""
    resolve: float = 5.0
    """Interval between two DNS lookups of a name, and timeout of a lookup."""
    policy: EjectionPolicy = EjectionPolicy()


@dataclass(frozen=True, slots=True)
class PoolEvents:
    """Callbacks for metrics."""

    retried: Callable[[str], None] = lambda reason: None
    """The pool retries a call at another replica; the reason is the error's name or ``fingerprint``."""
    ejected: Callable[[str], None] = lambda reason: None
    """The pool ejected a replica; the reason is the kind of failure."""
    left: Callable[[str], None] = lambda label: None
    """A replica has left the pool; its time series should be removed."""
    unresolved: Callable[[], None] = lambda: None
    """A DNS lookup failed."""
