"""Spans that were exported, and spans that were lost."""

from prometheus_client import CollectorRegistry, Counter


class TracingMetrics:
    """The export of spans. Any thread may call its methods."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._exported = Counter(
            "tandem_gateway_spans_exported", "Spans that the collector has taken (TANDEM_TRACING).", registry=registry
        )
        self._dropped = Counter(
            "tandem_gateway_spans_dropped",
            "Spans that were lost, by reason: queue_full, export_failed or shutdown.",
            ["reason"],
            registry=registry,
        )

    def exported(self, spans: int) -> None:
        """Count exported spans."""
        self._exported.inc(spans)

    def dropped(self, reason: str, spans: int) -> None:
        """Count lost spans."""
        self._dropped.labels(reason).inc(spans)
