"""One embedder of a pool: its connection, its load, its health and its model."""

from collections.abc import Sequence
from typing import Protocol

from tandem_contract.embed import Kind, Priority
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.health import Health, Probe
from tandem_gateway.records.embedders import Embeddings

FINGERPRINT_SECONDS = 10.0
"""Seconds for which a reply proves an embedder's model. After that, another embedder may run at its address."""


class ReplicaConnection(Protocol):
    """Carries the calls to one embedder."""

    async def embed(self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float) -> Embeddings:
        """Return one vector per text; raises the same errors as ``Embedder.embed``."""
        ...

    async def probe(self, *, timeout: float) -> Probe:
        """Ask the embedder for its readiness, and return the result."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Replica:
    """The mutable state of one embedder; the pool owns it."""

    __slots__ = ("address", "channel", "documents", "draining", "fingerprint", "health", "queries", "seen")

    def __init__(self, address: Address, channel: ReplicaConnection) -> None:
        self.address = address
        self.channel = channel
        self.health = Health()
        self.queries = 0
        """Number of calls in flight for queries."""
        self.documents = 0
        """Number of calls in flight for documents."""
        self.draining = False
        """Whether it has left the pool: it finishes the calls in flight and gets no new ones."""
        self.fingerprint: str | None = None
        """Model of its last reply; None if there was no reply since its last ejection."""
        self.seen = 0.0
        """Time of its last reply; seconds of the monotonic clock."""

    @property
    def in_flight(self) -> int:
        """Number of calls in flight."""
        return self.queries + self.documents

    @property
    def ejected_since(self) -> float:
        """Time of its ejection; seconds of the monotonic clock."""
        return self.health.since

    def query_load(self) -> tuple[int, int]:
        """Return the load as the balancer compares it for a query: queries first."""
        return self.queries, self.documents

    def document_load(self) -> tuple[int, int]:
        """Return the load as the balancer compares it for documents: documents first."""
        return self.documents, self.queries

    def has(self, fingerprint: str, now: float) -> bool:
        """Return whether it is known to have the model with this fingerprint."""
        return self.fingerprint == fingerprint and now - self.seen < FINGERPRINT_SECONDS

    def may_have(self, fingerprint: str, now: float) -> bool:
        """Return whether it has, or may have, the model with this fingerprint."""
        return self.fingerprint in (None, fingerprint) or now - self.seen >= FINGERPRINT_SECONDS
