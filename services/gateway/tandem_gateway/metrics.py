"""The gateway's metrics, in Prometheus' format; the only module that imports prometheus_client.

Children with labels are bound once: looking one up costs three times what observing it does.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

from tandem_contract.client_api import AnsweredBy
from tandem_contract.service.http import ROUTE
from tandem_contract.service.request_id import Scope
from tandem_gateway.index.indexes import IndexState
from tandem_gateway.records.embedders import PoolState, ReplicaStatus
from tandem_gateway.use_cases.canary.evaluation import Reason

# A "_created" series beside every counter and histogram would be a third more to scrape, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

_UNMATCHED = "unmatched"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COSINES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1.0001)
_DIFFERENCES = (-0.5, -0.1, -0.05, -0.02, -0.01, -0.005, -0.002, 0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_REPLICA_STATES: tuple[ReplicaStatus, ...] = ("serving", "ejected", "draining")
_POOLS = ("stable", "canary")
_FAILURES = ("unavailable", "late", "broken")
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class IndexMetrics:
    """What is known of the vector indexes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._vectors = Gauge(
            "tandem_gateway_index_vectors",
            "Vectors of a collection's index: in its graph, or compared with each query one by one (exact).",
            ["collection", "part"],
            registry=registry,
        )
        self._strays = Gauge(
            "tandem_gateway_index_strays",
            "Vectors that a collection's graph does not find, and that its second graph or exact part does.",
            ["collection"],
            registry=registry,
        )
        self._unproven = Gauge(
            "tandem_gateway_index_unproven_additions",
            "Vectors added to a collection's graph since each vector in it was last searched for; 0: all are found.",
            ["collection"],
            registry=registry,
        )

    def set(self, state: IndexState) -> None:
        """Set the values of one collection."""
        self._vectors.labels(state.collection, "graph").set(state.count - state.exact)
        self._vectors.labels(state.collection, "exact").set(state.exact)
        self._strays.labels(state.collection).set(state.strays)
        self._unproven.labels(state.collection).set(state.unproven)

    def clear(self) -> None:
        """Drop the values of every collection."""
        for gauge in (self._vectors, self._strays, self._unproven):
            gauge.clear()


class CoverageMetrics:
    """Texts that their vector does not stand for in full."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.documents_truncated = Counter(
            "tandem_gateway_documents_truncated",
            "Documents embedded of which the model saw only the beginning.",
            registry=registry,
        )
        self.documents_unreadable = Counter(
            "tandem_gateway_documents_unreadable",
            "Documents embedded most of whose tokens the model's vocabulary lacks.",
            registry=registry,
        )
        self.truncated_queries = Counter(
            "tandem_gateway_truncated_queries",
            "Searches of whose query the model saw only the beginning.",
            registry=registry,
        )
        self.unreadable_queries = Counter(
            "tandem_gateway_unreadable_queries",
            "Searches with a query most of whose tokens the model's vocabulary lacks.",
            registry=registry,
        )


class Metrics:
    """One registry and everything in it; each metric says itself what it counts."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "tandem_gateway_requests", "HTTP requests by route and status.", ["route", "code"], registry=registry
        )
        self._request_seconds = Histogram(
            "tandem_gateway_request_seconds",
            "Time from a request's first byte to its answer's last, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._embed_seconds = Histogram(
            "tandem_gateway_embed_call_seconds",
            "Time of a call to the embedder, by outcome.",
            ["outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queries_per_call = Histogram(
            "tandem_gateway_queries_per_call",
            "Searches that shared one call to the embedder.",
            buckets=_SIZES,
            registry=registry,
        )
        self.known_queries = Counter(
            "tandem_gateway_known_queries", "Searches whose query's vector was kept from before.", registry=registry
        )
        self.index_seconds = Histogram(
            "tandem_gateway_index_search_seconds",
            "Time of a batch of searches in the index, the hits' rows included.",
            buckets=_SECONDS,
            registry=registry,
        )
        searches = Counter(
            "tandem_gateway_searches",
            "Searches answered, by what answered them: dense or lexical.",
            ["mode"],
            registry=registry,
        )
        self._bound_searches: dict[AnsweredBy, Counter] = {
            "dense": searches.labels("dense"),
            "lexical": searches.labels("lexical"),
        }
        self.degraded_searches = Counter(
            "tandem_gateway_degraded_searches",
            "Searches answered lexically because no embedder answered.",
            registry=registry,
        )
        self.lexical_seconds = Histogram(
            "tandem_gateway_lexical_search_seconds",
            "Time of a search in the lexical index, the hits' rows included.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "tandem_gateway_commit_seconds", "Time of a commit of the store.", buckets=_SECONDS, registry=registry
        )
        self.commit_writes = Histogram(
            "tandem_gateway_writes_per_commit", "Writes that shared a commit.", buckets=_SIZES, registry=registry
        )
        self.queued_queries = Gauge(
            "tandem_gateway_queued_queries", "Searches that wait for a call to the embedder.", registry=registry
        )
        self.documents = Gauge(
            "tandem_gateway_documents",
            "Documents that search can find, by collection.",
            ["collection"],
            registry=registry,
        )
        self.pending_documents = Gauge(
            "tandem_gateway_pending_documents",
            "Documents that wait to be embedded, by collection.",
            ["collection"],
            registry=registry,
        )
        self.index = IndexMetrics(registry)
        self.coverage = CoverageMetrics(registry)
        self.documents_embedded = Counter(
            "tandem_gateway_documents_embedded", "Documents that got their vector.", registry=registry
        )
        self.documents_failed = Counter(
            "tandem_gateway_documents_failed", "Documents that were given up.", registry=registry
        )
        self._retries = Counter(
            "tandem_gateway_embedding_retries",
            "Times that the embedding of documents had to wait, by reason.",
            ["reason"],
            registry=registry,
        )
        self.fingerprint_mismatches = Counter(
            "tandem_gateway_fingerprint_mismatches",
            "Vectors refused because their model is not the collection's.",
            registry=registry,
        )
        self._snapshots = Counter(
            "tandem_gateway_snapshots", "Snapshots of the index taken, by outcome.", ["outcome"], registry=registry
        )
        self.index_repairs = Counter(
            "tandem_gateway_index_repairs",
            "Repairs at a start, as of a damaged snapshot.",
            registry=registry,
        )
        self.task_restarts = Counter(
            "tandem_gateway_task_restarts", "Background tasks that died and were started again.", registry=registry
        )
        self._add_states()
        self._replicas = Gauge(
            "tandem_gateway_embedder_replicas",
            "Embedders by pool and state: serving, ejected after failures, draining (its name leads elsewhere now).",
            ["pool", "state"],
            registry=registry,
        )
        self._replica_in_flight = Gauge(
            "tandem_gateway_replica_calls_in_flight",
            "Calls that an embedder has not answered yet.",
            ["pool", "replica"],
            registry=registry,
        )
        self._replica_ejected = Gauge(
            "tandem_gateway_replica_ejected",
            "1 while an embedder is left out after failures.",
            ["pool", "replica"],
            registry=registry,
        )
        self._replica_seconds = Summary(
            "tandem_gateway_replica_call_seconds",
            "Number and total time of the calls to an embedder, by outcome.",
            ["pool", "replica", "outcome"],
            registry=registry,
        )
        self._embed_retries = Counter(
            "tandem_gateway_embed_retries",
            "Calls that were tried again at another embedder, by what the first one did.",
            ["pool", "reason"],
            registry=registry,
        )
        self._ejections = Counter(
            "tandem_gateway_embedder_ejections",
            "Times that an embedder was left out after failures.",
            ["pool", "reason"],
            registry=registry,
        )
        self._unresolved = Counter(
            "tandem_gateway_embedder_name_failures",
            "Questions for the addresses of an embedder's name that had no answer.",
            ["pool"],
            registry=registry,
        )
        self._canary_weight = Gauge(
            "tandem_gateway_canary_weight", "Percent of the embedder calls that the canary gets.", registry=registry
        )
        self._shadow_percent = Gauge(
            "tandem_gateway_shadow_percent",
            "Percent of the stable pool's query calls that are sent to the canary as well.",
            registry=registry,
        )
        self._pool_calls = Counter(
            "tandem_gateway_pool_calls",
            "Embedder calls answered, by pool; shadow calls are counted apart.",
            ["pool"],
            registry=registry,
        )
        self._bound_pool_calls = {name: self._pool_calls.labels(name) for name in _POOLS}
        self._fallbacks = Counter(
            "tandem_gateway_canary_fallbacks",
            "Calls of the canary's share that the stable pool answered, by reason.",
            ["reason"],
            registry=registry,
        )
        self._roll_backs = Counter(
            "tandem_gateway_canary_rollbacks",
            "Times that the canary lost its share, by the limit that it crossed.",
            ["reason"],
            registry=registry,
        )
        self._shadow_calls = Counter(
            "tandem_gateway_shadow_calls",
            "Calls that both pools were sent, by how they ended at each.",
            ["stable", "canary"],
            registry=registry,
        )
        self.shadow_cosine = Histogram(
            "tandem_gateway_shadow_cosine",
            "Cosine of the two pools' vectors of a text.",
            buckets=_COSINES,
            registry=registry,
        )
        self.shadow_difference = Histogram(
            "tandem_gateway_shadow_difference_seconds",
            "The canary's time of a shadow call less the stable pool's.",
            buckets=_DIFFERENCES,
            registry=registry,
        )
        self._show_version(version)
        self._bound_requests: dict[tuple[str, int], Counter] = {}
        self._bound_seconds: dict[str, Histogram] = {}
        self._bound_calls: dict[str, Histogram] = {}
        self._bound_replicas: dict[tuple[str, str], dict[str, Summary]] = {}
        self._show_what_is_rare()

    def observe_request(self, scope: Scope, code: int, seconds: float) -> None:
        """Count a request, under the template of its path: the path itself would make a series of every id."""
        route = scope.get(ROUTE, _UNMATCHED)
        counter = self._bound_requests.get((route, code))
        if counter is None:
            counter = self._bound_requests[route, code] = self._requests.labels(route, str(code))
        counter.inc()
        histogram = self._bound_seconds.get(route)
        if histogram is None:
            histogram = self._bound_seconds[route] = self._request_seconds.labels(route)
        histogram.observe(seconds)

    def embed_call(self, outcome: str, seconds: float) -> None:
        """Count a call to the embedder."""
        histogram = self._bound_calls.get(outcome)
        if histogram is None:
            histogram = self._bound_calls[outcome] = self._embed_seconds.labels(outcome)
        histogram.observe(seconds)

    def searched(self, mode: AnsweredBy) -> None:
        """Count a search by what answered it."""
        self._bound_searches[mode].inc()

    def replica_calls(self, pool: str, replica: str) -> Callable[[str, float], None]:
        """Return what counts a call to one embedder: by itself, and with all of them."""
        bound = self._bound_replicas.setdefault((pool, replica), {})

        def call(outcome: str, seconds: float) -> None:
            summary = bound.get(outcome)
            if summary is None:
                summary = bound[outcome] = self._replica_seconds.labels(pool, replica, outcome)
            summary.observe(seconds)
            self.embed_call(outcome, seconds)

        return call

    def forget_replica(self, pool: str, replica: str) -> None:
        """Drop the series of an embedder that is gone: addresses come and go, and each would leave some behind."""
        for outcome in self._bound_replicas.pop((pool, replica), {}):
            self._replica_seconds.remove(pool, replica, outcome)
        for gauge in (self._replica_in_flight, self._replica_ejected):
            with suppress(KeyError):  # never shown
                gauge.remove(pool, replica)

    def pool(self, state: PoolState) -> None:
        """Set what is known of a pool's embedders now."""
        for status in _REPLICA_STATES:
            count = sum(replica.status == status for replica in state.replicas)
            self._replicas.labels(state.name, status).set(count)
        for replica in state.replicas:
            self._replica_in_flight.labels(state.name, replica.label).set(replica.in_flight)
            self._replica_ejected.labels(state.name, replica.label).set(replica.status == "ejected")

    def embed_retried(self, pool: str, reason: str) -> None:
        """Count a call that is tried at another embedder."""
        self._embed_retries.labels(pool, reason).inc()

    def ejected(self, pool: str, reason: str) -> None:
        """Count an ejection."""
        self._ejections.labels(pool, reason).inc()

    def unresolved(self, pool: str) -> None:
        """Count a name that could not be resolved."""
        self._unresolved.labels(pool).inc()

    def shares(self, canary_weight: int, shadow_percent: int) -> None:
        """Set how the traffic is shared, in percent."""
        self._canary_weight.set(canary_weight)
        self._shadow_percent.set(shadow_percent)

    def answered_by(self, pool: str) -> None:
        """Count a call that a pool answered."""
        self._bound_pool_calls[pool].inc()

    def fell_back(self, reason: str) -> None:
        """Count a call of the canary's share that stable gets."""
        self._fallbacks.labels(reason).inc()

    def rolled_back(self, reason: str) -> None:
        """Count a roll-back."""
        self._roll_backs.labels(reason).inc()

    def shadowed(self, stable: str, canary: str) -> None:
        """Count a shadow call."""
        self._shadow_calls.labels(stable, canary).inc()

    def retried(self, reason: str) -> None:
        """Count a pause of the embedding of documents."""
        self._retries.labels(reason).inc()

    def snapshot(self, outcome: str) -> None:
        """Count a snapshot: ``saved`` or ``failed``."""
        self._snapshots.labels(outcome).inc()

    def collection(self, name: str, documents: int, pending: int) -> None:
        """Set a collection's counts."""
        self.documents.labels(name).set(documents)
        self.pending_documents.labels(name).set(pending)

    def forget_collections(self) -> None:
        """Drop the values of every collection, to be set again: one may have been deleted."""
        self.documents.clear()
        self.pending_documents.clear()
        self.index.clear()

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _add_states(self) -> None:
        registry = self.registry
        self.store_readable = Gauge(
            "tandem_gateway_store_readable",
            "1 if the store could be read for this; if not, counts are the last ones.",
            registry=registry,
        )
        self.ready = Gauge("tandem_gateway_ready", "1 if the gateway takes requests.", registry=registry)
        self.embedder_up = Gauge(
            "tandem_gateway_embedder_up", "1 if an embedder says that it is ready.", registry=registry
        )

    def _show_version(self, version: str) -> None:
        build = Gauge(
            "tandem_gateway_build_info", "Always 1; the version is a label.", ["version"], registry=self.registry
        )
        build.labels(version).set(1)

    def _show_what_is_rare(self) -> None:
        """Let these be there before they happen: Prometheus sees no increase in a series that begins at 1."""
        for outcome in ("saved", "failed"):
            self._snapshots.labels(outcome)
        for reason in get_args(Reason):
            self._roll_backs.labels(reason)
        for pool in _POOLS:
            self._unresolved.labels(pool)
            for failure in _FAILURES:
                self._ejections.labels(pool, failure)
