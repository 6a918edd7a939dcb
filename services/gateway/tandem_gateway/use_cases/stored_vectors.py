"""Reranks the hits of a search by the vectors that the store has of their passages, without embedding them again."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from tandem_gateway.ports.reranker import VectorReranker
from tandem_gateway.ports.search import Hydrator
from tandem_gateway.records.reranking import RerankScores
from tandem_gateway.records.search import Hits
from tandem_gateway.use_cases.commands import SearchCommand


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Scores hits by their stored vectors; one event loop owns it."""

    reranker: VectorReranker
    hydrator: Hydrator
    """Reads the vectors."""
    fingerprint: Callable[[str], str | None]
    """Returns the fingerprint of a collection's serving model; None if it has none."""
    clock: Callable[[], float] = monotonic

    async def scores(self, command: SearchCommand, hits: Hits, until: float) -> RerankScores | None:
        """Return the scores of hits whose passages are chosen; None if they must be embedded.

        That is so if a passage still waits for its vector, the collection switches to another model at this moment, or
        the embedders serve another model than the collection's.

        Args:
            command: the search, which asks for a reranking.
            hits: at least one.
            until: deadline; seconds of the clock.

        Raises:
            As ``Reranker.rerank`` and ``Hydrator.with_vectors``.
        """
        assert command.rerank is not None
        fingerprint = self.fingerprint(command.collection)
        if fingerprint is None:
            return None
        timeout = max(0.0, until - self.clock())
        read = await self.hydrator.with_vectors(command.collection, hits, timeout=timeout)
        vectors = [hit.vector for hit in read if hit.vector is not None]
        if len(vectors) < len(hits) or self.fingerprint(command.collection) != fingerprint:
            return None
        return await self.reranker.rerank_vectors(
            command.text_for_model,
            vectors,
            fingerprint,
            timeout=max(0.0, until - self.clock()),
            model=command.rerank.model,
        )
