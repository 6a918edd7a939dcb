"""Chooses the passage of a document that a keyword search found: the one with the most words of the query.

Keyword search ranks whole documents. Which of its passages matches best is decided here, for the few documents that are
shown. Vector search knows the passage by itself.
"""

import asyncio
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from tandem_gateway.analysis.folding import fold
from tandem_gateway.analysis.terms import QueryTerm, query_terms
from tandem_gateway.records.search import Hit, HitPassage

MAX_WORDS: Final = 64
"""Maximum number of different words of the query to look for."""
# A thread looks through more text, because it would block the event loop for more than a millisecond.
_AT_ONCE_CHARS: Final = 10_000


async def choose_passages(hits: list[Hit], query: str, language: str) -> None:
    """Choose the passage of each hit that has none yet, in place: the list holds the lease on the hits' memory."""
    open_hits = [hit for hit in hits if hit.passage is None and hit.passages is not None]
    if not open_hits:
        return
    if sum(len(hit.text) for hit in open_hits) <= _AT_ONCE_CHARS:
        _choose(hits, query, language)
    else:
        await asyncio.to_thread(_choose, hits, query, language)


def _choose(hits: list[Hit], query: str, language: str) -> None:
    words = query_terms(query, MAX_WORDS, language)
    for place, hit in enumerate(hits):
        if hit.passage is None and hit.passages is not None:
            best = best_passage(hit.text, hit.passages, words)
            hits[place] = msgspec.structs.replace(hit, passage=best, best=hit.passages[3 * best.index])


def best_passage(text: str, passages: "array[int]", words: Sequence[QueryTerm]) -> HitPassage:
    """Return the passage with the most different words of the query; the first of several.

    A word counts if the passage has the word, or its stem, anywhere: at the beginning of a longer word as well.

    Args:
        text: of the document.
        passages: see ``PassageView.passages``; at least one.
        words: of the query.
    """
    best, most = HitPassage(0, passages[1], passages[2]), -1
    for index in range(len(passages) // 3):
        start, stop = passages[3 * index + 1], passages[3 * index + 2]
        folded = fold(text[start:stop]).lower()
        found = sum(word.exact in folded or bool(word.stem and word.stem in folded) for word in words)
        if found > most:
            best, most = HitPassage(index, start, stop), found
    return best
