"""What retrievers find, and the search results that are made of it."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from tandem_runtime.memory import Lease

AnsweredBy = Literal["hybrid", "dense", "lexical"]
"""The search that found the hits. ``hybrid``: both of the others, fused. ``dense``: vector search. ``lexical``: keyword
search."""

SearchMode = Literal["auto", AnsweredBy]
"""The search that the caller wants. ``auto``: hybrid, or the other one while vector search or keyword search fails."""


class RankedPassage(NamedTuple):
    """A passage that a search found: its score in that search, and its score from each retriever that found it.

    The scores of one search are comparable with each other only.
    """

    passage_id: int
    score: float
    dense: float | None = None
    """Cosine similarity; None if vector search did not find the passage."""
    lexical: float | None = None
    """BM25; None if keyword search did not find the passage."""


class KeywordCandidates(NamedTuple):
    """The passages that keyword search found for a query, by descending BM25 score."""

    passages: list[RankedPassage]
    weight: float
    """Score of a passage of average length that has every word of the query once; 0 for a query without words. The
    share of it that a passage reaches tells how much of the query it has."""


class PassageView(msgspec.Struct, frozen=True, gc=False):
    """A passage of a document that search may show, with its document; ``metadata`` is JSON text."""

    passage_id: int
    doc_id: str
    text: str
    metadata: str


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A search result; ``metadata`` is JSON text, and the scores are those of ``RankedPassage``."""

    doc_id: str
    score: float
    text: str
    metadata: str
    dense: float | None = None
    lexical: float | None = None


class Hits(list[Hit]):
    """Hits by descending score, with a lease on the memory that their texts take."""

    def __init__(self, hits: Iterable[Hit], lease: Lease | None = None) -> None:
        super().__init__(hits)
        # The lease lives as long as the hits: dropping the last reference to them returns the memory to the budget.
        self._lease = lease
