"""One embedder of a pool, and what is known of it."""

from collections.abc import Sequence
from typing import Protocol

from tandem_contract.embed import Kind, Priority
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.health import Health, Probe
from tandem_gateway.records.embedders import Embeddings

FINGERPRINT_SECONDS = 10.0
"""How long an embedder's last answer vouches for its model: another may have been started at its address since."""


class ReplicaConnection(Protocol):
    """What carries the calls to one embedder."""

    async def embed(self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float) -> Embeddings:
        """Return one vector a text; raises as ``Embedder.embed`` does."""
        ...

    async def probe(self, *, timeout: float) -> Probe:
        """Return what the embedder says of its readiness, if anything."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Replica:
    """Mutable; the pool owns it."""

    __slots__ = ("address", "channel", "documents", "draining", "fingerprint", "health", "queries", "seen")

    def __init__(self, address: Address, channel: ReplicaConnection) -> None:
        self.address = address
        self.channel = channel
        self.health = Health()
        self.queries = 0
        """Calls in flight for queries."""
        self.documents = 0
        """Calls in flight for documents."""
        self.draining = False
        """No longer of the pool: what is in flight ends, nothing more is sent."""
        self.fingerprint: str | None = None
        """Of its last answer; None if there was none since it was ejected."""
        self.seen = 0.0
        """When that was; seconds of the monotonic clock."""

    @property
    def in_flight(self) -> int:
        """Calls that have not ended."""
        return self.queries + self.documents

    @property
    def ejected_since(self) -> float:
        """When it was ejected; seconds of the monotonic clock."""
        return self.health.since

    def query_load(self) -> tuple[int, int]:
        """Return what counts when a query's replica is chosen."""
        return self.queries, self.documents

    def document_load(self) -> tuple[int, int]:
        """Return what counts when a document's replica is chosen."""
        return self.documents, self.queries

    def has(self, fingerprint: str, now: float) -> bool:
        """Return whether it is known to have the model of that fingerprint."""
        return self.fingerprint == fingerprint and now - self.seen < FINGERPRINT_SECONDS

    def may_have(self, fingerprint: str, now: float) -> bool:
        """Return whether it has, or may have, the model of that fingerprint."""
        return self.fingerprint in (None, fingerprint) or now - self.seen >= FINGERPRINT_SECONDS
