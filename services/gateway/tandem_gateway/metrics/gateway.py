"""All metrics of the gateway in one registry."""

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

from tandem_gateway.metrics.access import AccessMetrics
from tandem_gateway.metrics.audit import AuditMetrics
from tandem_gateway.metrics.callers import CallerMetrics
from tandem_gateway.metrics.canary import CanaryMetrics
from tandem_gateway.metrics.deprecated import DeprecatedNames
from tandem_gateway.metrics.documents import DocumentMetrics
from tandem_gateway.metrics.embedders import EmbedderMetrics
from tandem_gateway.metrics.embeddings import EmbeddingMetrics
from tandem_gateway.metrics.index import IndexMetrics
from tandem_gateway.metrics.reembedding import ReembeddingMetrics
from tandem_gateway.metrics.requests import RequestMetrics
from tandem_gateway.metrics.reranking import RerankMetrics
from tandem_gateway.metrics.searches import SearchMetrics
from tandem_gateway.metrics.tls import TlsMetrics
from tandem_gateway.metrics.tracing import TracingMetrics

# A "_created" series beside every counter and histogram would add a third to each scrape, and has no reader.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry and the metrics of each concern; the help text of a metric says what it counts."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        self.requests = RequestMetrics(registry)
        self.searches = SearchMetrics(registry)
        self.reranking = RerankMetrics(registry)
        self.documents = DocumentMetrics(registry)
        self.index = IndexMetrics(registry)
        self.reembedding = ReembeddingMetrics(registry)
        self.embedders = EmbedderMetrics(registry)
        self.embeddings = EmbeddingMetrics(registry)
        self.canary = CanaryMetrics(registry)
        self.tls = TlsMetrics(registry)
        self.callers = CallerMetrics(registry)
        self.access = AccessMetrics(registry)
        self.audit = AuditMetrics(registry)
        self.tracing = TracingMetrics(registry)
        self.task_restarts = Counter(
            "tandem_gateway_task_restarts", "Background tasks that died and were restarted.", registry=registry
        )
        self.ready = Gauge("tandem_gateway_ready", "1 if the gateway takes requests.", registry=registry)
        self.gateways = Gauge(
            "tandem_gateway_gateways",
            "Gateways that share the store and were seen in the last 15 s; 1 for a store of one gateway.",
            registry=registry,
        )
        self.gateways.set(1)
        build = Gauge("tandem_gateway_build_info", "Always 1; the version is a label.", ["version"], registry=registry)
        build.labels(version).set(1)
        DeprecatedNames(
            registry,
            {
                "tandem_gateway_request_seconds": self.requests.duration,
                "tandem_gateway_embed_call_seconds": self.embedders.call_duration,
                "tandem_gateway_replica_call_seconds": self.embedders.replica_duration,
                "tandem_gateway_embed_retries": self.embedders.retries,
                "tandem_gateway_embedding_retries": self.documents.backoffs,
                "tandem_gateway_known_queries": self.searches.vector_cache_hits,
                "tandem_gateway_index_search_seconds": self.searches.index_duration,
                "tandem_gateway_lexical_search_seconds": self.searches.lexical_duration,
                "tandem_gateway_commit_seconds": self.documents.commit_duration,
            },
        )

    def clear_collections(self) -> None:
        """Drop the values of every collection before they are set again: one may have been deleted."""
        self.documents.clear_collections()
        self.index.clear()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
