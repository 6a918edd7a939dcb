"""Explains an answer from the rankings that it was made of. Pure functions."""

from collections.abc import Sequence

from tandem_gateway.records.explanation import HitExplanation, Place
from tandem_gateway.records.search import KeywordCandidates, RankedPassage
from tandem_gateway.use_cases.fusion import Fusion, fusion_parts


def places(
    passage_ids: Sequence[int],
    dense: Sequence[RankedPassage] | None,
    lexical: KeywordCandidates | None,
    fusion: Fusion | None,
    fused: int,
) -> list[HitExplanation]:
    """Return for each passage its places in both rankings.

    Args:
        passage_ids: the hits' first passages.
        dense: the ranking of vector search; None if it did not run.
        lexical: the ranking of keyword search; None if it did not run.
        fusion: how the two were fused; None if they were not.
        fused: number of passages of each ranking that were fused. The others get nothing from it.
    """
    words = lexical.passages if lexical is not None else []
    parts: tuple[dict[int, float], dict[int, float]] = {}, {}
    if fusion is not None and lexical is not None:
        parts = fusion_parts((dense or [])[:fused], KeywordCandidates(words[:fused], lexical.weight), fusion)
    by_vector = _places(dense or [], parts[0], fusion is not None)
    by_words = _places(words, parts[1], fusion is not None)
    return [HitExplanation(by_vector.get(each), by_words.get(each)) for each in passage_ids]


def _places(ranking: Sequence[RankedPassage], parts: dict[int, float], is_fused: bool) -> dict[int, Place]:
    return {
        each.passage_id: Place(rank, each.score, parts.get(each.passage_id, 0.0) if is_fused else None)
        for rank, each in enumerate(ranking, 1)
    }
