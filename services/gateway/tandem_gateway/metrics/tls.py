"""Certificates in use, and TLS handshakes with clients that failed."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class TlsMetrics:
    """Expiry and renewal of certificates; without TLS there is no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expiry = Gauge(
            "tandem_gateway_tls_certificate_expiry_timestamp_seconds",
            "When a certificate in use expires: the gateway's own (server), or the one that it shows to embedders "
            "(embedder_client).",
            ["use"],
            registry=registry,
        )
        self._reloads = Counter(
            "tandem_gateway_tls_reloads",
            "Changed TLS files of the server that were read: renewed or failed.",
            ["result"],
            registry=registry,
        )
        self._handshakes = Counter(
            "tandem_gateway_tls_handshakes_failed",
            "TLS handshakes with clients that failed, by reason.",
            ["reason"],
            registry=registry,
        )

    def server_expires(self, at: float) -> None:
        """Report when the server's certificate expires; seconds since 1970."""
        self._expiry.labels("server").set(at)

    def client_expires(self, at: float) -> None:
        """Report when the certificate for embedders expires; seconds since 1970."""
        self._expiry.labels("embedder_client").set(at)

    def reloaded(self, result: str) -> None:
        """Count a look at changed files; ``result`` is ``renewed`` or ``failed``."""
        self._reloads.labels(result).inc()

    def handshake_failed(self, reason: str) -> None:
        """Count a failed handshake."""
        self._handshakes.labels(reason).inc()
