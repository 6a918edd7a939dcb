"""The embedder: one, or a pool of replicas."""

from collections.abc import Sequence
from typing import Protocol

from tandem_contract.embed import Kind, Priority
from tandem_gateway.records.embedders import Embeddings, PoolState


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def replicas(self) -> int:
        """How many take calls now, 1 at the least: what one of them can do at a time, so many can do so often."""
        ...

    async def embed(
        self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float, fingerprint: str | None = None
    ) -> Embeddings:
        """Return one vector a text, in order.

        Args:
            texts: at least one.
            kind: document or query; a model may treat them differently.
            priority: lane of the embedder's queue.
            timeout: seconds after which the call ends, whatever happens.
            fingerprint: of the model that is wanted, where that is one and known. It is a wish: the answer's own
                fingerprint says what came.

        Raises:
            EmbedderError: unavailable, rejected or broken, see ``tandem_gateway.errors``.
            Overloaded: the embedder's queue is full.
            DeadlineExceeded: the time is over.
        """
        ...

    async def ready(self, *, timeout: float) -> bool:
        """Return whether an embedder answers within ``timeout`` seconds and says that it is ready."""
        ...


class EmbedderPool(Embedder, Protocol):
    """Embedders that stand in for each other."""

    @property
    def up(self) -> bool:
        """Whether any of them is believed to answer."""
        ...

    def serves(self, fingerprint: str) -> bool:
        """Return whether one that takes calls is known to have the model of that fingerprint."""
        ...

    def state(self) -> PoolState:
        """Return how the pool and each of its replicas is."""
        ...

    async def follow_names(self) -> None:
        """Keep the replicas what the pool's names lead to; runs for ever, or ends if there is no name."""
        ...
