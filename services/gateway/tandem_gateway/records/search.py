"""What retrievers find, and the search results that are made of it."""

from array import array
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from tandem_runtime.memory import Lease

AnsweredBy = Literal["hybrid", "dense", "lexical"]
"""The search that found the hits. ``hybrid``: both of the others, fused. ``dense``: vector search. ``lexical``: keyword
search."""

SearchMode = Literal["auto", AnsweredBy]
"""The search that the caller wants. ``auto``: hybrid, or the other one while vector search or keyword search fails."""

Consistency = Literal["strong", "session", "bounded"]
"""How new the state of the store must be that answers a search. ``strong``: it has all that was acknowledged before.
``session``: it has all that the caller knows of. ``bounded``: it is at most a second old."""

HitField = Literal["text", "metadata", "passage", "vector"]
"""A part of a hit that a caller may or may not want."""

USUAL_FIELDS: Final[frozenset[HitField]] = frozenset({"text", "metadata", "passage"})
"""What a hit has if the caller does not say otherwise."""


class RankedPassage(NamedTuple):
    """A document that a search found, with its score in that search and from each retriever that found it.

    The first passage of the document stands for it. The scores of one search are comparable with each other only.
    """

    passage_id: int
    score: float
    dense: float | None = None
    """Cosine similarity; None if vector search did not find the passage."""
    lexical: float | None = None
    """BM25; None if keyword search did not find the passage."""
    nearest: int | None = None
    """The passage of the document that is nearest to the query; None if vector search did not find the document."""
    rerank: float | None = None
    """The reranker's score, from 0 to 1; None if the document was not reranked."""


class FirstPassage(NamedTuple):
    """The first passage of a document that was looked up by its id."""

    passage_id: int
    live: bool
    """False while the document has no version that search finds."""


class KeywordCandidates(NamedTuple):
    """The passages that keyword search found for a query, by descending BM25 score."""

    passages: list[RankedPassage]
    weight: float
    """Score of a passage of average length that has every word of the query once; 0 for a query without words. The
    share of it that a passage reaches tells how much of the query it has."""


class PassageView(msgspec.Struct, frozen=True, gc=False):
    """A document that search may show, under the id of its first passage; ``metadata`` is JSON text."""

    passage_id: int
    doc_id: str
    text: str
    metadata: str
    live: int = 1
    """0 while the document waits for vectors: then it may be divided into more passages yet."""
    passages: "array[int] | None" = None
    """Id, start and stop of each passage, one after the other; None if the text is one passage."""
    markdown: int = 0
    """1 if the text is Markdown."""

    def passage(self, passage_id: int) -> "HitPassage | None":
        """Return a passage of the document; None if it has no such passage."""
        if self.passages is None:
            return HitPassage(0, 0, len(self.text)) if passage_id == self.passage_id else None
        for index in range(len(self.passages) // 3):
            number, start, stop = self.passages[3 * index : 3 * index + 3]
            if number == passage_id:
                return HitPassage(index, start, stop)
        return None


class HitPassage(msgspec.Struct, frozen=True, gc=False):
    """A passage of a hit: its position in the document, and its offsets in characters, ``stop`` excluded."""

    index: int
    start: int
    stop: int


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A search result; ``metadata`` is JSON text, and the scores are those of ``RankedPassage``."""

    doc_id: str
    score: float
    text: str
    metadata: str
    dense: float | None = None
    lexical: float | None = None
    passage: HitPassage | None = None
    """The passage that matches best; None if it is still to be chosen among ``passages``."""
    passages: "array[int] | None" = None
    """As in ``PassageView``."""
    best: int | None = None
    """Id of ``passage``; None as long as that is still to be chosen."""
    vector: bytes | None = None
    """Vector of ``passage``, float32, little-endian; None if it was not read, or there is none yet."""
    first: int = 0
    """Id of the document's first passage, as in ``RankedPassage``."""
    highlights: "array[int] | None" = None
    """Start and end of each matched word in the text, one after the other; None if the search did not ask for it."""
    rerank: float | None = None
    """As in ``RankedPassage``."""
    passage_highlights: "array[int] | None" = None
    """The same in the passage's text."""
    markdown: int = 0
    """As in ``PassageView``."""


class Hits(list[Hit]):
    """Hits by descending score, with leases on the memory that their texts and vectors take."""

    def __init__(self, hits: Iterable[Hit], *leases: Lease | None) -> None:
        super().__init__(hits)
        # The leases live as long as the hits: dropping the last reference to them returns the memory to the budget.
        self.leases = leases
