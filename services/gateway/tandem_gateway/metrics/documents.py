"""Documents: stored, embedded, failed; and the commits of the store."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tandem_gateway.metrics.buckets import SECONDS, SIZES


class DocumentMetrics:
    """Counts documents through ingest and embedding."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._searchable = Gauge(
            "tandem_gateway_documents",
            "Documents that search can find, by collection.",
            ["collection"],
            registry=registry,
        )
        self._pending = Gauge(
            "tandem_gateway_pending_documents",
            "Documents that wait to be embedded, by collection.",
            ["collection"],
            registry=registry,
        )
        self.embedded = Counter(
            "tandem_gateway_documents_embedded", "Documents that got their vector.", registry=registry
        )
        self.truncated = Counter(
            "tandem_gateway_documents_truncated",
            "Embedded documents whose text the embedder truncated.",
            registry=registry,
        )
        self.unreadable = Counter(
            "tandem_gateway_documents_unreadable",
            "Embedded documents most of whose tokens the model's vocabulary lacks.",
            registry=registry,
        )
        self.failed = Counter(
            "tandem_gateway_documents_failed", "Documents that were marked as failed.", registry=registry
        )
        self.skipped = Counter(
            "tandem_gateway_documents_skipped",
            "Documents that an ingest with on_error skip left out because they are not valid.",
            registry=registry,
        )
        self.backoffs = Counter(
            "tandem_gateway_embedding_backoffs",
            "Pauses of document embedding before a retry, by reason.",
            ["reason"],
            registry=registry,
        )
        self.fingerprint_mismatches = Counter(
            "tandem_gateway_fingerprint_mismatches",
            "Vectors refused because their model is not the collection's.",
            registry=registry,
        )
        self.scrubbed = Counter(
            "tandem_gateway_scrubbed_rows", "Rows that the scrub compared with their checksums.", registry=registry
        )
        self.damaged = Gauge(
            "tandem_gateway_damaged_rows", "Rows that the scrub found damaged since the start.", registry=registry
        )
        self.scrub_completed = Gauge(
            "tandem_gateway_scrub_completed_timestamp_seconds",
            "When the scrub last read all rows, in seconds since the epoch; 0 if it has not since the start.",
            registry=registry,
        )
        self.commit_duration = Histogram(
            "tandem_gateway_commit_duration_seconds",
            "Time of a commit of the store.",
            buckets=SECONDS,
            registry=registry,
        )
        self.writes_per_commit = Histogram(
            "tandem_gateway_writes_per_commit", "Writes that shared a commit.", buckets=SIZES, registry=registry
        )
        self._log_truncations = Counter(
            "tandem_gateway_log_truncations",
            "Attempts to take deleted text out of a write-ahead log, by database (store or keyword_index) and outcome: "
            "done, busy (a reader prevented it) or failed. The gateway retries after the last two.",
            ["database", "outcome"],
            registry=registry,
        )
        # Prometheus sees no increase in a series that begins at 1: rare series exist from the start.
        for database in ("store", "keyword_index"):
            for outcome in ("done", "busy", "failed"):
                self._log_truncations.labels(database, outcome)
        self.store_readable = Gauge(
            "tandem_gateway_store_readable",
            "1 if this scrape could read the store; if 0, the counts are those of the last scrape.",
            registry=registry,
        )

    def backed_off(self, reason: str) -> None:
        """Count a pause of document embedding."""
        self.backoffs.labels(reason).inc()

    def log_truncated(self, database: str, outcome: str) -> None:
        """Count an attempt to truncate a database's write-ahead log."""
        self._log_truncations.labels(database, outcome).inc()

    def set_collection(self, name: str, documents: int, pending: int) -> None:
        """Set the counts of one collection."""
        self._searchable.labels(name).set(documents)
        self._pending.labels(name).set(pending)

    def clear_collections(self) -> None:
        """Drop the values of every collection before they are set again: one may have been deleted."""
        self._searchable.clear()
        self._pending.clear()
