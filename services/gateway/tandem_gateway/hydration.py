"""Hydration: turns the passages that a retriever ranked into the hits that clients get."""

from collections.abc import Mapping, Sequence

from tandem_gateway.records.search import Hit, PassageView, RankedPassage


def hits(ranked: Sequence[RankedPassage], passages: Mapping[int, PassageView]) -> list[Hit]:
    """Return the hits of ranked passages, in their order; passages that no longer exist are left out."""
    return [
        Hit(passage.doc_id, each.score, passage.text, passage.metadata, each.dense, each.lexical)
        for each in ranked
        if (passage := passages.get(each.passage_id)) is not None
    ]
