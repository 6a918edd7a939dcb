"""Fusion: one ranking from the rankings of vector search and keyword search. Pure functions.

A fused score lies between 0 and 1. It is the weighted mean of a passage's contributions from both rankings. A passage
that a ranking does not have gets nothing from it.

- ``relative``: cosines from the lowest (0) to the highest (1) candidate; BM25 scores as a share of what a passage with
  every word of the query gets. A passage that has only "the" and "with" of a query gets a small share, even if no other
  passage has more. A passage that has the whole query, such as a product's code, gets the whole share. Weights that
  favour keyword search put it first.
- ``rrf``: reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), scaled so that first in both is 1.
- ``dbsf``: distribution-based score fusion: each ranking's scores from three standard deviations below their mean (0)
  to three above it (1).
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tandem_gateway.records.search import KeywordCandidates, RankedPassage, SearchMode

FusionMethod = Literal["relative", "rrf", "dbsf"]

FUSING_MODES: Final[tuple[SearchMode, ...]] = ("auto", "hybrid")
DEFAULT_K: Final = 60
MAX_K: Final = 1000
MAX_WEIGHT: Final = 1000
_DEVIATIONS: Final = 3.0
_FEW: Final = 16
"""Up to so many passages, a heap finds the best faster than sorting does."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """How to fuse two rankings."""

    method: FusionMethod = "relative"
    dense: float = 0.4
    """Weight of vector search, at least 0; only the ratio of the two weights matters."""
    lexical: float = 0.6
    """Weight of keyword search, at least 0."""
    k: int = DEFAULT_K
    """Constant of ``rrf``: the larger, the less the first ranks stand out."""


DEFAULT_FUSION: Final = Fusion()


def fuse(
    dense: Sequence[RankedPassage],
    lexical: KeywordCandidates,
    fusion: Fusion = DEFAULT_FUSION,
    most: int | None = None,
) -> list[RankedPassage]:
    """Return the passages of both rankings by descending fused score. Ties are ordered by passage id.

    Args:
        dense: by descending cosine similarity.
        lexical: by descending BM25 score; every score is above 0.
        fusion: method and weights; not both weights may be 0.
        most: maximum number of passages to return; None for all.
    """
    scores, from_words = fusion_parts(dense, lexical, fusion)
    for passage_id, part in from_words.items():
        scores[passage_id] = scores.get(passage_id, 0.0) + part
    order = [(-score, passage_id) for passage_id, score in scores.items()]
    order = heapq.nsmallest(most, order) if most is not None and most <= _FEW else sorted(order)[:most]
    # Most passages are not returned: nothing is made for them.
    shown = {passage_id for _, passage_id in order}
    by_vector = {each[0]: each for each in dense if each[0] in shown}
    words = {each[0]: each[1] for each in lexical.passages if each[0] in shown}
    fused: list[RankedPassage] = []
    for negative, passage_id in order:
        near = by_vector.get(passage_id)
        cosine, nearest = (near[1], near[4]) if near is not None else (None, None)
        fused.append(RankedPassage(passage_id, min(-negative, 1.0), cosine, words.get(passage_id), nearest))
    return fused


def fusion_parts(
    dense: Sequence[RankedPassage], lexical: KeywordCandidates, fusion: Fusion
) -> tuple[dict[int, float], dict[int, float]]:
    """Return what each passage's fused score has of vector search and of keyword search, by passage id.

    The fused score is the sum of the two parts. The arguments are those of ``fuse``.
    """
    total = fusion.dense + fusion.lexical
    near, by_vector = _columns(dense)
    matching, by_words = _columns(lexical.passages)
    if fusion.method == "rrf":
        parts = _reciprocal_ranks(len(by_vector), fusion.k), _reciprocal_ranks(len(by_words), fusion.k)
    elif fusion.method == "dbsf":
        parts = _distribution(by_vector), _distribution(by_words)
    else:
        parts = _range(by_vector), _shares(by_words, lexical.weight)
    return (
        dict(zip(near, [part * fusion.dense / total for part in parts[0]], strict=True)),
        dict(zip(matching, [part * fusion.lexical / total for part in parts[1]], strict=True)),
    )


def _columns(ranked: Sequence[RankedPassage]) -> tuple[Sequence[int], Sequence[float]]:
    """Return the passage ids of a ranking, and the scores."""
    if not ranked:
        return (), ()
    ids, scores, *_ = zip(*ranked, strict=True)
    return ids, scores


def _range(scores: Sequence[float]) -> list[float]:
    """Return scores, which descend, from 0 for the lowest to 1 for the highest."""
    if not scores or scores[0] <= scores[-1]:
        return [1.0] * len(scores)
    last = scores[-1]
    span = scores[0] - last
    return [(score - last) / span for score in scores]


def _shares(scores: Sequence[float], whole: float) -> list[float]:
    if whole <= 0:
        return [0.0] * len(scores)
    return [score / whole if score < whole else 1.0 for score in scores]


def _reciprocal_ranks(count: int, k: int) -> list[float]:
    return [(k + 1) / (k + rank) for rank in range(1, count + 1)]


def _distribution(scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    if deviation <= 1e-9 * max(1.0, abs(mean)):
        return [0.5] * len(scores)
    return [min(1.0, max(0.0, ((score - mean) / deviation + _DEVIATIONS) / (2 * _DEVIATIONS))) for score in scores]
