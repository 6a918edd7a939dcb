"""HTTP requests and the memory that they hold."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tandem_gateway.metrics.buckets import SECONDS
from tandem_runtime.http import ROUTE
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.request_id import Scope

_UNMATCHED = "unmatched"


class RequestMetrics:
    """Counts and times the requests of each route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "tandem_gateway_requests", "HTTP requests by route and status.", ["route", "code"], registry=registry
        )
        self.duration = Histogram(
            "tandem_gateway_request_duration_seconds",
            "Time from the first byte of a request to the last byte of its reply, by route.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._held = Gauge(
            "tandem_gateway_in_flight_bytes",
            "Bytes that requests and their replies hold of the memory budget, without the first 64 KiB of each.",
            registry=registry,
        )
        self._held_limit = Gauge(
            "tandem_gateway_in_flight_limit_bytes",
            "Limit of the memory budget (TANDEM_MAX_BYTES_IN_FLIGHT). Ingests may hold three quarters of it.",
            registry=registry,
        )
        # A lookup of a labelled child costs three times what its update does.
        self._counters: dict[tuple[str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}

    def observe(self, scope: Scope, code: int, seconds: float) -> None:
        """Count a request under its route's template: the path itself would make a series of every id."""
        route = scope.get(ROUTE, _UNMATCHED)
        counter = self._counters.get((route, code))
        if counter is None:
            counter = self._counters[route, code] = self._requests.labels(route, str(code))
        counter.inc()
        duration = self._durations.get(route)
        if duration is None:
            duration = self._durations[route] = self.duration.labels(route)
        duration.observe(seconds)

    def watch_memory(self, budget: MemoryBudget) -> None:
        """Report this budget. Each scrape reads it, so that a lease costs nothing more."""
        self._held.set_function(lambda: budget.held)
        self._held_limit.set(budget.limit)
