"""Port to a reranker, which scores documents by their relevance to a query."""

from collections.abc import Sequence
from typing import Protocol

from tandem_gateway.records.reranking import RerankScores


class Reranker(Protocol):
    """Scores documents by their relevance to a query."""

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        timeout: float,
        model: str | None = None,
        raw: bool = False,
    ) -> RerankScores:
        """Return the score of each document.

        A document's score depends on the query and the document alone, not on the other documents.

        Args:
            query: not blank.
            documents: any number, none of them blank.
            timeout: deadline of the whole call, in seconds.
            model: name of the model; None for the one that serves.
            raw: whether the scores are the model's own numbers. Otherwise they are from 0 to 1.

        Raises:
            InvalidRequest: the reranker does not serve this model (``model``), or has no raw scores (``raw_scores``).
            RerankerError, EmbedderError: the reranker is unavailable, rejects the texts or is broken.
            Overloaded: its queue is full.
            DeadlineExceeded: no answer came within ``timeout``.
        """
        ...
