"""Searches: how they were answered, and what each step took."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tandem_gateway.metrics.buckets import SECONDS, SIZES
from tandem_gateway.records.search import AnsweredBy


class SearchMetrics:
    """Counts searches, and times the vector index and the keyword index."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.queries_per_call = Histogram(
            "tandem_gateway_queries_per_call",
            "Searches that shared one call to the embedder.",
            buckets=SIZES,
            registry=registry,
        )
        self.vector_cache_hits = Counter(
            "tandem_gateway_query_vector_cache_hits",
            "Searches whose query vector came from the cache.",
            registry=registry,
        )
        self.index_duration = Histogram(
            "tandem_gateway_index_search_duration_seconds",
            "Time of a batch of searches in the vector index, including reading the rows of the hits.",
            buckets=SECONDS,
            registry=registry,
        )
        searches = Counter(
            "tandem_gateway_searches",
            "Searches answered, by the search that answered: hybrid, dense or lexical.",
            ["mode"],
            registry=registry,
        )
        self._searches: dict[AnsweredBy, Counter] = {mode: searches.labels(mode) for mode in get_args(AnsweredBy)}
        self.degraded = Counter(
            "tandem_gateway_degraded_searches",
            "Searches that vector search or keyword search answered alone because the other could not answer.",
            registry=registry,
        )
        self.lexical_duration = Histogram(
            "tandem_gateway_lexical_search_duration_seconds",
            "Time of a search in the keyword index, including reading the rows of the hits.",
            buckets=SECONDS,
            registry=registry,
        )
        self.queued = Gauge(
            "tandem_gateway_queued_queries", "Searches that wait for a call to the embedder.", registry=registry
        )
        self.truncated_queries = Counter(
            "tandem_gateway_truncated_queries",
            "Searches whose query the embedder truncated.",
            registry=registry,
        )
        self.unreadable_queries = Counter(
            "tandem_gateway_unreadable_queries",
            "Searches with a query most of whose tokens the model's vocabulary lacks.",
            registry=registry,
        )

    def answered(self, mode: AnsweredBy) -> None:
        """Count a search by the index that answered it."""
        self._searches[mode].inc()
