"""What reranking decides: how much time it gets, and what order the scores make. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Final

from tandem_gateway.records.search import RankedPassage

LEAST_SECONDS: Final = 0.05
"""A search with less time left for the reranker does not ask it."""
_RESERVED_SHARE: Final = 0.2
_MAX_RESERVED: Final = 0.5


def search_seconds(remaining: float, most: float) -> float | None:
    """Return how many seconds a search may wait for the reranker; None if it should not ask it.

    The rest of the time is for the documents of the hits: 20 % of what remains, at most 0.5 s.

    Args:
        remaining: seconds until the search's deadline; negative if it has passed.
        most: maximum seconds of a reranking.
    """
    seconds = min(most, remaining - min(remaining * _RESERVED_SHARE, _MAX_RESERVED))
    return seconds if seconds >= LEAST_SECONDS else None


def ranking(scores: Sequence[float], top_n: int | None = None) -> list[int]:
    """Return the positions of the ``top_n`` highest scores, descending; None for all. Equal scores keep their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])[:top_n]


def reordered(ranked: Sequence[RankedPassage], scores: Mapping[int, float]) -> list[RankedPassage]:
    """Return a search's ranking in the order of a reranker's scores.

    The documents with a score come first, by descending score, which becomes the score of the hit. Equal scores keep
    their order. The others follow in their order, with the score 0: their own scores are not comparable.

    Args:
        ranked: the ranking.
        scores: first passage → score from 0 to 1; empty to leave the ranking as it is.
    """
    if not scores:
        return list(ranked)
    known = [each for each in ranked if each.passage_id in scores]
    order = ranking([scores[each.passage_id] for each in known])
    first = [known[place]._replace(score=scores[known[place].passage_id]) for place in order]
    first = [each._replace(rerank=each.score) for each in first]
    return first + [each._replace(score=0.0) for each in ranked if each.passage_id not in scores]
