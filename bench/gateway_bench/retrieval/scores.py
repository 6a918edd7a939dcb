"""Computes the retrieval quality of rankings with trec_eval's own implementation, and its table.

nDCG@10 (Järvelin and Kekäläinen 2002, with grade ÷ log2(rank + 1)), recall@100, and the reciprocal rank of the first
relevant document among ten. This is the only module that imports pytrec_eval.
"""

from collections.abc import Mapping, Sequence

import msgspec
import pytrec_eval

from gateway_bench.retrieval.datasets import Judgements

RANKS = 100
"""Number of hits that a ranking needs for these measures."""

_MRR_RANKS = 10


class Scores(msgspec.Struct, frozen=True):
    """Means over all judged queries; a query without a hit counts as 0."""

    ndcg_10: float
    recall_100: float
    mrr_10: float


class ModeReport(msgspec.Struct, frozen=True):
    """A search mode and its scores."""

    mode: str
    """Empty if the request named none."""
    scores: Scores | None
    refusal: str | None = None
    """Reason for missing scores."""


class QualityReport(msgspec.Struct, frozen=True):
    """The scores of one server on a data set."""

    dataset: str
    documents: int
    queries: int
    modes: list[ModeReport]


def score(judgements: Judgements, rankings: Mapping[str, Sequence[str]]) -> Scores:
    """Return the means over all queries of ``judgements``.

    Args:
        judgements: relevant documents.
        rankings: query → documents, the best first; a missing query found nothing.
    """
    whole = _evaluate(judgements, rankings, {"ndcg_cut.10", "recall.100"}, RANKS)
    first = _evaluate(judgements, rankings, {"recip_rank"}, _MRR_RANKS)
    count = len(judgements)
    return Scores(
        ndcg_10=sum(found["ndcg_cut_10"] for found in whole.values()) / count,
        recall_100=sum(found["recall_100"] for found in whole.values()) / count,
        mrr_10=sum(found["recip_rank"] for found in first.values()) / count,
    )


def quality_table(report: QualityReport) -> str:
    """Return the scores as Markdown."""
    lines = [
        f"{report.dataset}: {report.documents} documents, {report.queries} judged queries.",
        "",
        "| search mode | nDCG@10 | recall@100 | MRR@10 |",
        "| --- | --- | --- | --- |",
    ]
    for entry in report.modes:
        name = f"`{entry.mode}`" if entry.mode else "default"
        if entry.scores is None:
            lines.append(f"| {name} | {entry.refusal} | | |")
        else:
            found = entry.scores
            lines.append(f"| {name} | {found.ndcg_10:.4f} | {found.recall_100:.4f} | {found.mrr_10:.4f} |")
    return "\n".join(lines)


def _evaluate(
    judgements: Judgements, rankings: Mapping[str, Sequence[str]], measures: set[str], depth: int
) -> dict[str, dict[str, float]]:
    # trec_eval sorts by score, and equal scores by name: each rank gets a score of its own.
    run = {
        query: {name: float(depth - rank) for rank, name in enumerate(rankings[query][:depth])}
        for query in judgements
        if rankings.get(query)
    }
    found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(judgements, measures).evaluate(run)
    return found
