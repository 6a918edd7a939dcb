"""Calls to the embedders, and the state of their replicas."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

from tandem_gateway.metrics.buckets import SECONDS
from tandem_gateway.records.embedders import PoolState, ReplicaStatus

POOLS: Final = ("stable", "canary")
_STATES: tuple[ReplicaStatus, ...] = ("serving", "ejected", "draining")
_FAILURES = ("unavailable", "late", "broken")


class EmbedderMetrics:
    """Counts and times calls, retries and ejections."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.call_duration = Histogram(
            "tandem_gateway_embedder_call_duration_seconds",
            "Time of a call to the embedder, by outcome.",
            ["outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._durations: dict[str, Histogram] = {}
        self.up = Gauge("tandem_gateway_embedder_up", "1 if an embedder says that it is ready.", registry=registry)
        self._replicas = Gauge(
            "tandem_gateway_embedder_replicas",
            "Embedders by pool and state: serving, ejected after failures, or draining (DNS no longer lists it).",
            ["pool", "state"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "tandem_gateway_replica_calls_in_flight",
            "Calls that an embedder has not answered yet.",
            ["pool", "replica"],
            registry=registry,
        )
        self._ejected = Gauge(
            "tandem_gateway_replica_ejected",
            "1 while an embedder is ejected after failures.",
            ["pool", "replica"],
            registry=registry,
        )
        self.replica_duration = Summary(
            "tandem_gateway_replica_call_duration_seconds",
            "Number and total time of the calls to an embedder, by outcome.",
            ["pool", "replica", "outcome"],
            registry=registry,
        )
        self._replica_durations: dict[tuple[str, str], dict[str, Summary]] = {}
        self.retries = Counter(
            "tandem_gateway_embedder_retries",
            "Calls retried on another embedder, by the failure of the first.",
            ["pool", "reason"],
            registry=registry,
        )
        self._ejections = Counter(
            "tandem_gateway_embedder_ejections",
            "Ejections of an embedder after failures.",
            ["pool", "reason"],
            registry=registry,
        )
        self._unresolved = Counter(
            "tandem_gateway_embedder_name_failures",
            "DNS lookups of an embedder's name that failed.",
            ["pool"],
            registry=registry,
        )
        # Prometheus sees no increase in a series that begins at 1: rare series exist from the start.
        for pool in POOLS:
            self._unresolved.labels(pool)
            for failure in _FAILURES:
                self._ejections.labels(pool, failure)

    def call(self, outcome: str, seconds: float) -> None:
        """Count a call to the embedder."""
        duration = self._durations.get(outcome)
        if duration is None:
            duration = self._durations[outcome] = self.call_duration.labels(outcome)
        duration.observe(seconds)

    def replica_calls(self, pool: str, replica: str) -> Callable[[str, float], None]:
        """Return a function that counts a call to one embedder, for it alone and for all together."""
        durations = self._replica_durations.setdefault((pool, replica), {})

        def call(outcome: str, seconds: float) -> None:
            duration = durations.get(outcome)
            if duration is None:
                duration = durations[outcome] = self.replica_duration.labels(pool, replica, outcome)
            duration.observe(seconds)
            self.call(outcome, seconds)

        return call

    def forget_replica(self, pool: str, replica: str) -> None:
        """Drop the series of an embedder that has left the pool, so that series do not pile up as addresses change."""
        for outcome in self._replica_durations.pop((pool, replica), {}):
            self.replica_duration.remove(pool, replica, outcome)
        for gauge in (self._in_flight, self._ejected):
            with suppress(KeyError):  # never shown
                gauge.remove(pool, replica)

    def set_pool(self, state: PoolState) -> None:
        """Set the current state of a pool's embedders."""
        for status in _STATES:
            count = sum(replica.status == status for replica in state.replicas)
            self._replicas.labels(state.name, status).set(count)
        for replica in state.replicas:
            self._in_flight.labels(state.name, replica.label).set(replica.in_flight)
            self._ejected.labels(state.name, replica.label).set(replica.status == "ejected")

    def retried(self, pool: str, reason: str) -> None:
        """Count a call that is retried on another embedder."""
        self.retries.labels(pool, reason).inc()

    def ejected(self, pool: str, reason: str) -> None:
        """Count an ejection."""
        self._ejections.labels(pool, reason).inc()

    def unresolved(self, pool: str) -> None:
        """Count a failed DNS lookup."""
        self._unresolved.labels(pool).inc()
