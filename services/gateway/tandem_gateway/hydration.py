"""Hydration: turns the passages that a retriever ranked into the hits that clients get."""

from collections.abc import Mapping, Sequence

from tandem_gateway.records.search import Hit, PassageView, ScoredPassage


def hits(ranked: Sequence[ScoredPassage], passages: Mapping[int, PassageView]) -> list[Hit]:
    """Return the hits of ranked passages, in their order; passages that no longer exist are left out."""
    return [
        Hit(passage.doc_id, score, passage.text, passage.metadata)
        for passage_id, score in ranked
        if (passage := passages.get(passage_id)) is not None
    ]
