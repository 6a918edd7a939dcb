"""The vector indexes and their snapshots."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from tandem_gateway.index.state import IndexState


class IndexMetrics:
    """Shows the size of each index and whether every vector is proven to be found."""

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
        self._missing = Gauge(
            "tandem_gateway_engine_missing_vectors",
            "Vectors of a collection in a vector engine that the engine lacks or does not show yet; the gateway "
            "compares each query with them.",
            ["collection"],
            registry=registry,
        )
        self.lag = Gauge(
            "tandem_gateway_index_lag_seconds",
            "Time that the indexes took to have everything that was in the store, as searches wait for it; it grows "
            "while the store cannot be read. 0 for a store of one gateway.",
            registry=registry,
        )
        self.filter_bytes = Gauge(
            "tandem_gateway_filter_index_bytes",
            "Estimated memory of the filter index: its columns of metadata and its recent answers, of all collections.",
            registry=registry,
        )
        self.keyword_bytes = Gauge(
            "tandem_gateway_keyword_memory_bytes",
            "Estimated memory of what keyword search has read of its index, of all collections: posting lists (at most "
            "32 MiB) and document counts of words (at most 16 MiB).",
            registry=registry,
        )
        self._snapshots = Counter(
            "tandem_gateway_snapshots", "Snapshots of the index taken, by outcome.", ["outcome"], registry=registry
        )
        self.repairs = Counter(
            "tandem_gateway_index_repairs",
            "Repairs at startup, such as of a damaged snapshot.",
            registry=registry,
        )
        self._shared = Counter(
            "tandem_gateway_shared_snapshots",
            "Snapshots that gateways share, by outcome: published or loaded; refused (damaged, or of another store, "
            "history or library), failed, or built_alone because none came in time.",
            ["outcome"],
            registry=registry,
        )
        self.builder = Gauge(
            "tandem_gateway_snapshot_builder",
            "Whether this gateway builds the snapshots for all; 0 if it shares none.",
            registry=registry,
        )
        # Prometheus sees no increase in a series that begins at 1: rare series exist from the start.
        for outcome in ("saved", "failed"):
            self._snapshots.labels(outcome)
        for outcome in ("published", "loaded", "refused", "failed", "built_alone"):
            self._shared.labels(outcome)

    def set(self, state: IndexState) -> None:
        """Set the values of one collection."""
        self._vectors.labels(state.collection, "graph").set(state.count - state.exact)
        self._vectors.labels(state.collection, "exact").set(state.exact)
        self._strays.labels(state.collection).set(state.strays)
        self._unproven.labels(state.collection).set(state.unproven)
        if state.in_engine:
            self._missing.labels(state.collection).set(state.exact)

    def clear(self) -> None:
        """Drop the values of every collection."""
        for gauge in (self._vectors, self._strays, self._unproven, self._missing):
            gauge.clear()

    def snapshot(self, outcome: str) -> None:
        """Count a snapshot: ``saved`` or ``failed``."""
        self._snapshots.labels(outcome).inc()

    def shared(self, outcome: str) -> None:
        """Count a shared snapshot; see the metric for the outcomes."""
        self._shared.labels(outcome).inc()
