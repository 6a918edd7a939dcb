"""Metrics of one ranking, and their means with bootstrap confidence intervals. Pure functions.

Formulas are those of trec_eval: nDCG with the gain itself and the discount log2(rank + 1), recall over all relevant
documents, and the reciprocal rank of the first relevant one.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Judgements = Mapping[str, int]
"""Document → grade; above 0 is relevant."""


def ndcg(ranking: Sequence[str], judged: Judgements, k: int) -> float:
    """Return the normalised discounted cumulative gain of the first ``k`` documents, from 0 to 1.

    Args:
        ranking: ids, the best first, each once.
        judged: with at least one relevant document; others have the grade 0.
        k: at least 1.
    """
    ideal = sorted((grade for grade in judged.values() if grade > 0), reverse=True)
    return _gain([max(0, judged.get(key, 0)) for key in ranking[:k]]) / _gain(ideal[:k])


def recall(ranking: Sequence[str], judged: Judgements, k: int) -> float:
    """Return the share of the relevant documents that are among the first ``k``."""
    relevant = {key for key, grade in judged.items() if grade > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], judged: Judgements, k: int) -> float:
    """Return 1 divided by the rank of the first relevant document among the first ``k``; 0 without one."""
    for rank, key in enumerate(ranking[:k], 1):
        if judged.get(key, 0) > 0:
            return 1 / rank
    return 0.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over queries, and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean with its percentile bootstrap interval.

    Args:
        values: of each query; at least one.
        samples: number of resamples, with replacement.
        level: of confidence, between 0 and 1.
        seed: the same values with the same seed give the same interval.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    means = sorted(_mean(chance.choices(values, k=len(values))) for _ in range(samples))
    tail = (1 - level) / 2
    low = means[math.floor(tail * (samples - 1))]
    high = means[math.ceil((1 - tail) * (samples - 1))]
    return Interval(_mean(values), low, high)


def difference(first: Sequence[float], second: Sequence[float], *, samples: int = 1000, seed: int = 0) -> Interval:
    """Return how much larger the second's mean is, with the interval of the paired differences.

    The queries of both are the same, in the same order. An interval without 0 tells a difference from chance.
    """
    pairs = [b - a for a, b in zip(first, second, strict=True)]
    return interval(pairs, samples=samples, seed=seed)


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
