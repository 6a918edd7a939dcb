"""Diversity: an order in which each passage is relevant and unlike those before it. Pure functions.

Maximal marginal relevance (Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents
and Producing Summaries", SIGIR 1998): the next passage is the one with the greatest

    (1 - diversity) * relevance - diversity * (greatest cosine similarity with a passage before it)

Their lambda is ``1 - diversity``.
"""

from collections.abc import Sequence

import numpy as np

from tandem_gateway.records.arrays import Vectors


def diversified(relevance: Sequence[float], vectors: Vectors, diversity: float) -> list[int]:
    """Return the places of passages in their new order. Ties keep the given order.

    Args:
        relevance: of each passage, descending.
        vectors: of each passage, ``(n, dim) float32``, rows of unit length; a row of zeros is unlike every other.
        diversity: 0 leaves the order as it is. With 1, only the first passage is there for its relevance.
    """
    count = len(relevance)
    if diversity == 0 or count <= 1:
        return list(range(count))
    relevant = (1.0 - diversity) * np.array(relevance, np.float64)
    rows = vectors.astype(np.float64)
    alike = rows @ rows.T
    nearest = np.full(count, -np.inf)
    left = np.ones(count, np.bool_)
    order = [0]
    while len(order) < count:
        left[order[-1]] = False
        np.maximum(nearest, alike[order[-1]], out=nearest)
        gain = np.where(left, relevant - diversity * nearest, -np.inf)
        order.append(int(gain.argmax()))
    return order


def shares(scores: Sequence[float]) -> list[float]:
    """Return BM25 scores, which descend and are above 0, as shares of the first, to compare them with cosines."""
    return [score / scores[0] for score in scores]
