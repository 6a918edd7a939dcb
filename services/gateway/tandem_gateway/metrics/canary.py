"""The canary pool: its share of the calls, and how it compares with the stable pool."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tandem_gateway.metrics.buckets import COSINES, DIFFERENCES
from tandem_gateway.metrics.embedders import POOLS
from tandem_gateway.use_cases.canary.evaluation import Reason


class CanaryMetrics:
    """Counts calls by pool, fallbacks, rollbacks and shadow calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._weight = Gauge(
            "tandem_gateway_canary_weight", "Percent of the embedder calls that the canary gets.", registry=registry
        )
        self._shadow_percent = Gauge(
            "tandem_gateway_shadow_percent",
            "Percent of the stable pool's query calls that the gateway also sends to the canary.",
            registry=registry,
        )
        pool_calls = Counter(
            "tandem_gateway_pool_calls",
            "Embedder calls answered, by pool, without shadow calls.",
            ["pool"],
            registry=registry,
        )
        self._pool_calls = {pool: pool_calls.labels(pool) for pool in POOLS}
        self._fallbacks = Counter(
            "tandem_gateway_canary_fallbacks",
            "Calls of the canary's share that the stable pool answered, by reason.",
            ["reason"],
            registry=registry,
        )
        self._rollbacks = Counter(
            "tandem_gateway_canary_rollbacks",
            "Rollbacks of the canary, by the limit that it crossed.",
            ["reason"],
            registry=registry,
        )
        self._shadow_calls = Counter(
            "tandem_gateway_shadow_calls",
            "Calls that the gateway sent to both pools, by the outcome at each.",
            ["stable", "canary"],
            registry=registry,
        )
        self.shadow_cosine = Histogram(
            "tandem_gateway_shadow_cosine",
            "Cosine of the two pools' vectors of a text.",
            buckets=COSINES,
            registry=registry,
        )
        self.shadow_difference = Histogram(
            "tandem_gateway_shadow_difference_seconds",
            "The canary's time of a shadow call minus the stable pool's.",
            buckets=DIFFERENCES,
            registry=registry,
        )
        # Prometheus sees no increase in a series that begins at 1: rare series exist from the start.
        for reason in get_args(Reason):
            self._rollbacks.labels(reason)

    def set_shares(self, canary_weight: int, shadow_percent: int) -> None:
        """Set the canary's share of the calls and the shadow share, in percent."""
        self._weight.set(canary_weight)
        self._shadow_percent.set(shadow_percent)

    def answered(self, pool: str) -> None:
        """Count a call that a pool answered."""
        self._pool_calls[pool].inc()

    def fell_back(self, reason: str) -> None:
        """Count a call of the canary's share that the stable pool gets."""
        self._fallbacks.labels(reason).inc()

    def rolled_back(self, reason: str) -> None:
        """Count a rollback."""
        self._rollbacks.labels(reason).inc()

    def shadowed(self, stable: str, canary: str) -> None:
        """Count a shadow call."""
        self._shadow_calls.labels(stable, canary).inc()
