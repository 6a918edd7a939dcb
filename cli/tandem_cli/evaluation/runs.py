"""Computes the metrics of a run: judged queries in a collection, in one mode."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tandem_cli.evaluation.judged import JudgedQuery
from tandem_cli.evaluation.metrics import Interval, difference, interval, ndcg, recall, reciprocal_rank

Mode = Literal["dense", "lexical", "hybrid"]


@dataclass(frozen=True, slots=True)
class Run:
    """The values of each metric for each query, in the order of the queries."""

    collection: str
    mode: Mode
    values: dict[str, list[float]]

    def intervals(self, samples: int, seed: int) -> dict[str, Interval]:
        """Return the mean of each metric with its interval."""
        return {name: interval(values, samples=samples, seed=seed) for name, values in self.values.items()}

    def compared(self, other: "Run", samples: int, seed: int) -> dict[str, Interval]:
        """Return how much larger each metric of the other run is."""
        return {
            name: difference(values, other.values[name], samples=samples, seed=seed)
            for name, values in self.values.items()
        }


def evaluate(
    queries: Sequence[JudgedQuery], rankings: Sequence[Sequence[str]], collection: str, mode: Mode, k: int
) -> Run:
    """Return the metrics of a run.

    Args:
        queries: at least one.
        rankings: ids of the hits of each query, the best first.
        collection: that was searched.
        mode: of the searches.
        k: hits that were asked for, at least 10, since nDCG looks at 10.
    """
    values: dict[str, list[float]] = {"nDCG@10": [], f"recall@{k}": [], f"MRR@{k}": []}
    for query, found in zip(queries, rankings, strict=True):
        scores = (
            ndcg(found, query.judged, 10),
            recall(found, query.judged, k),
            reciprocal_rank(found, query.judged, k),
        )
        for held, score in zip(values.values(), scores, strict=True):
            held.append(score)
    return Run(collection, mode, values)
