"""Ports to the embedder: a single one, or a pool of replicas."""

from collections.abc import Sequence
from typing import Protocol

from tandem_contract.embed import Kind, Priority
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.embedders import Embeddings, PoolState


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def replicas(self) -> int:
        """Number of embedders in rotation, at least 1. Multiply a per-embedder concurrency limit by it."""
        ...

    @property
    def model_tokens(self) -> int | None:
        """Number of tokens, with special tokens, that the model reads of a text; None if no embedder has said it."""
        ...

    async def embed(
        self,
        texts: Sequence[str],
        *,
        kind: Kind,
        priority: Priority,
        timeout: float,
        fingerprint: str | None = None,
        split: Split | None = None,
    ) -> Embeddings:
        """Return one vector per text, in order; with ``split``, one per passage.

        Args:
            texts: at least one.
            kind: document or query; a model may treat them differently.
            priority: lane of the embedder's queue.
            timeout: deadline of the whole call, in seconds.
            fingerprint: preferred model, if the caller knows one. Only a routing hint: check
                ``Embeddings.fingerprint`` for the model that answered.
            split: how to split the texts into passages; None for one vector per text. An embedder of an earlier release
                does not split texts: the reply then has no ``spans``.

        Raises:
            EmbedderError: the embedder is unavailable, rejected the texts or is broken; see
                ``tandem_gateway.errors``.
            Overloaded: the embedder's queue is full.
            DeadlineExceeded: no answer came within ``timeout``.
        """
        ...

    async def ready(self, *, timeout: float) -> bool:
        """Return whether an embedder reports that it is ready within ``timeout`` seconds."""
        ...


class EmbedderPool(Embedder, Protocol):
    """Interchangeable embedders behind one name."""

    @property
    def up(self) -> bool:
        """Whether at least one replica is in rotation."""
        ...

    def serves(self, fingerprint: str) -> bool:
        """Return whether a replica in rotation is known to serve the model with this fingerprint.

        A replica that does not say which model it serves counts as well, until a reply shows another model.
        """
        ...

    @property
    def refused_token(self) -> bool:
        """Whether a replica refused the gateway's token when it was last asked."""
        ...

    def state(self) -> PoolState:
        """Return the state of the pool and of each replica."""
        ...

    async def follow_names(self) -> None:
        """Keep the replicas in step with DNS. Runs until cancelled; returns at once if the pool has no names."""
        ...
