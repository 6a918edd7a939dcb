"""The usage of API keys, and what their limits refused."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from tandem_gateway.records.access import Usage
from tandem_gateway.records.limits import RESOURCES, Resource

_OTHERS: Final = "other"


class CallerMetrics:
    """Counts by the ids of API keys, of which it shows a limited number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        lag = "It is at most some seconds old."
        self._requests = Counter(
            "tandem_gateway_caller_requests",
            f"Requests by the id of the API key, without those that a limit refused. {lag}",
            ["caller"],
            registry=registry,
        )
        self._tokens = Counter(
            "tandem_gateway_caller_tokens",
            f"Tokens that the model read for the API key: of queries, texts and documents. {lag}",
            ["caller"],
            registry=registry,
        )
        self._documents = Counter(
            "tandem_gateway_caller_documents",
            f"Documents accepted from the API key. {lag}",
            ["caller"],
            registry=registry,
        )
        refused = Counter(
            "tandem_gateway_rate_limited",
            "Requests that a limit of their API key refused, by what it limits.",
            ["resource"],
            registry=registry,
        )
        self._refused = {resource: refused.labels(resource) for resource in RESOURCES}
        self._known: dict[str, tuple[Counter, Counter, Counter]] = {}
        self.shown = 0
        """Maximum number of callers that are shown by their ids."""

    def used(self, caller: str, usage: Usage) -> None:
        """Count what a caller used."""
        name = caller if caller in self._known or len(self._known) < self.shown else _OTHERS
        counters = self._known.get(name) or self._counters(name)
        if name != _OTHERS:
            self._known[name] = counters
        # What had no effect is given back, perhaps after it was counted here; a counter cannot go down.
        for counter, count in zip(counters, (usage.requests, usage.tokens, usage.documents), strict=True):
            counter.inc(max(0, count))

    def refused(self, resource: Resource) -> None:
        """Count a request that a limit refused."""
        self._refused[resource].inc()

    def _counters(self, name: str) -> tuple[Counter, Counter, Counter]:
        return self._requests.labels(name), self._tokens.labels(name), self._documents.labels(name)
