"""Reranking: how searches were reranked, and the calls to the rerank servers."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from tandem_gateway.metrics.buckets import SECONDS

_FAILURES: Final = ("unavailable", "late", "broken")
_OUTCOMES: Final = ("reranked", "late", "failed", "skipped")


class RerankMetrics:
    """Counts searches that asked for a reranking."""

    def __init__(self, registry: CollectorRegistry) -> None:
        searches = Counter(
            "tandem_gateway_search_rerankings",
            "Searches that asked for a reranking, by outcome: reranked, late (not enough time), failed (the reranker "
            "could not answer) or skipped (it failed several times). All but reranked keep the search's order.",
            ["outcome"],
            registry=registry,
        )
        self._calls = Histogram(
            "tandem_gateway_reranker_call_duration_seconds",
            "Time of a call to a rerank server, by outcome.",
            ["outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self.retries = Counter(
            "tandem_gateway_reranker_retries", "Calls retried on another rerank server.", registry=registry
        )
        self._ejections = Counter(
            "tandem_gateway_reranker_ejections",
            "Ejections of a rerank server after failures.",
            ["reason"],
            registry=registry,
        )
        self.unresolved = Counter(
            "tandem_gateway_reranker_name_failures",
            "DNS lookups of a rerank server's name that failed.",
            registry=registry,
        )
        for reason in _FAILURES:
            self._ejections.labels(reason)
        self._searches = {outcome: searches.labels(outcome) for outcome in _OUTCOMES}

    def called(self, outcome: str, seconds: float) -> None:
        """Count a call to a rerank server."""
        self._calls.labels(outcome).observe(seconds)

    def ejected(self, reason: str) -> None:
        """Count an ejection."""
        self._ejections.labels(reason).inc()

    def ended(self, outcome: str) -> None:
        """Count a search that asked for a reranking."""
        self._searches[outcome].inc()
