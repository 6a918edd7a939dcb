"""Lines of the audit log that were lost."""

from prometheus_client import CollectorRegistry, Counter


class AuditMetrics:
    """The audit log's own health."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lost = Counter(
            "tandem_gateway_audit_lines_lost",
            "Lines of the audit log that had no room in memory while the log could not be written.",
            registry=registry,
        )

    def lost(self, lines: int) -> None:
        """Count lost lines; any thread may call it."""
        self._lost.inc(lines)
