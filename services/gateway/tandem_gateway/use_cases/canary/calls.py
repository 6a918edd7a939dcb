"""One call to an embedder pool, and the errors that count against the pool."""

from collections.abc import Sequence
from dataclasses import dataclass

from tandem_contract.embed import Kind, Priority
from tandem_gateway.errors import DeadlineExceeded, EmbedderBroken, EmbedderUnavailable, Overloaded
from tandem_gateway.ports.embedder import EmbedderPool
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.embedders import Embeddings

FAILURES = (EmbedderUnavailable, EmbedderBroken, Overloaded, DeadlineExceeded)
"""Errors of the pool. Other errors are about the texts, and every pool would raise them."""


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of ``Embedder.embed`` without the timeout."""

    texts: Sequence[str]
    kind: Kind
    priority: Priority
    fingerprint: str | None
    split: Split | None = None

    async def send(self, pool: EmbedderPool, timeout: float) -> Embeddings:
        """Return the pool's answer; see ``Embedder.embed``."""
        return await pool.embed(
            self.texts,
            kind=self.kind,
            priority=self.priority,
            timeout=timeout,
            fingerprint=self.fingerprint,
            split=self.split,
        )
