"""Requests without a valid key or token, and the keys that verify tokens."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class AccessMetrics:
    """Refused requests by reason; the number of keys has a series only while a JWKS is used."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "tandem_gateway_authentication_refused",
            "Requests that were refused before any route, by reason. missing and api_key: no key, or one that is not "
            "valid. several: more than one bearer token. The others are of JWTs, see docs/access.md.",
            ["reason"],
            registry=registry,
        )
        self._fetches = Counter(
            "tandem_gateway_jwks_fetches",
            "Fetches of the JWKS that verifies JWTs: fetched or failed.",
            ["result"],
            registry=registry,
        )
        for result in ("fetched", "failed"):  # an alert counts them
            self._fetches.labels(result)
        self._keys = Gauge(
            "tandem_gateway_jwks_keys",
            "Keys of the JWKS that count, by issuer. 0 means that every JWT is refused.",
            ["issuer"],
            registry=registry,
        )

    def refused(self, reason: str) -> None:
        """Count a refused request."""
        self._refused.labels(reason).inc()

    def jwks_looked_at(self, issuer: str, good: bool | None, keys: int) -> None:
        """Report how many keys of an issuer count, after a good or a failed fetch, or without one (None)."""
        if good is not None:
            self._fetches.labels("fetched" if good else "failed").inc()
        self._keys.labels(issuer).set(keys)
