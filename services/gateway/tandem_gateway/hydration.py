"""Hydration: turns the passages that a retriever ranked into the hits that clients get."""

from collections.abc import Mapping, Sequence

from tandem_gateway.records.search import Hit, HitPassage, PassageView, RankedPassage


def hits(ranked: Sequence[RankedPassage], passages: Mapping[int, PassageView]) -> list[Hit]:
    """Return the hits of ranked passages, in their order; documents that no longer exist are left out."""
    return [
        Hit(
            document.doc_id,
            each.score,
            document.text,
            document.metadata,
            each.dense,
            each.lexical,
            _passage(document, each),
            document.passages,
            each.nearest if each.nearest is not None or document.passages is not None else document.passage_id,
            first=each.passage_id,
            rerank=each.rerank,
            markdown=document.markdown,
        )
        for each in ranked
        if (document := passages.get(each.passage_id)) is not None
    ]


def _passage(document: PassageView, ranked: RankedPassage) -> HitPassage | None:
    """Return the passage that vector search found, or the only one; None if keyword search alone found one of many."""
    if ranked.nearest is not None:
        return document.passage(ranked.nearest)
    return None if document.passages is not None else document.passage(document.passage_id)
