"""One embedder of a pool: its connection, its load, its health and its model."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from tandem_contract.embed import Kind, Priority
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.health import Health, Probe
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.embedders import Embeddings, ServedModel

FINGERPRINT_SECONDS = 10.0
"""Seconds for which an answer proves an embedder's model. After that, another embedder may run at its address."""


class ProbeResult(msgspec.Struct, frozen=True):
    """Result of a probe, and the model that a ready embedder describes."""

    found: Probe
    served: ServedModel | None = None


class Connection(Protocol):
    """Carries the calls to one server."""

    def close(self) -> None:
        """Close the connections."""
        ...


C = TypeVar("C", bound=Connection)


class ReplicaConnection(Protocol):
    """Carries the calls to one embedder."""

    async def embed(
        self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float, split: Split | None = None
    ) -> Embeddings:
        """Return the vectors of texts; as ``Embedder.embed``."""
        ...

    async def probe(self, *, timeout: float) -> ProbeResult:
        """Ask the embedder whether it is ready and which model it serves."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Replica(Generic[C]):
    """The mutable state of one embedder, or of one rerank server; the pool owns it."""

    __slots__ = (
        "address",
        "channel",
        "documents",
        "draining",
        "health",
        "queries",
        "seen",
        "served",
        "silent",
        "token_refused",
    )

    def __init__(self, address: Address, channel: C) -> None:
        self.address = address
        self.channel = channel
        self.health = Health()
        self.queries = 0
        """Number of calls in flight for queries."""
        self.documents = 0
        """Number of calls in flight for documents."""
        self.draining = False
        """Whether it has left the pool: it finishes the calls in flight and gets no new ones."""
        self.served: ServedModel | None = None
        """Model that it described or that made its last reply; None if neither is known since its last ejection."""
        self.seen = 0.0
        """Time at which ``served`` was last seen; seconds of the monotonic clock."""
        self.silent = False
        """Whether it was ready at the last probe without a readable description: only a call shows its model."""

        self.token_refused = False
        """Whether it refused the gateway's token at the last probe."""

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
        return self._is(fingerprint) and now - self.seen < FINGERPRINT_SECONDS

    def may_have(self, fingerprint: str, now: float) -> bool:
        """Return whether it has, or may have, the model with this fingerprint."""
        return self.served is None or self._is(fingerprint) or now - self.seen >= FINGERPRINT_SECONDS

    def _is(self, fingerprint: str) -> bool:
        return self.served is not None and self.served.fingerprint == fingerprint
