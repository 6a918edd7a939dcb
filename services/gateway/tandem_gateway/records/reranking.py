"""The scores of a reranker."""

from collections.abc import Sequence

import msgspec


class RerankScores(msgspec.Struct, frozen=True):
    """The relevance of documents to one query, in the order in which they were given."""

    scores: Sequence[float]
    """One per document: from 0 to 1, or the model's own numbers if these were asked for. All are finite."""
    model: str | None
    """Name of the model; None if it has none."""
    truncated: Sequence[int] = ()
    """Positions of the documents of which the model read only the beginning, ascending. A rerank server does not tell
    them."""
    query_truncated: bool = False
    """Whether the model read only the beginning of the query; false if it did not say so."""
    tokens: int | None = None
    """Number of tokens that the model read; None if it did not say so."""
