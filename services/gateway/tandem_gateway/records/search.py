"""What retrievers find, and the search results that are made of it."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from tandem_runtime.memory import Lease

AnsweredBy = Literal["dense", "lexical"]
"""The search that found the hits. ``dense``: vector search. ``lexical``: keyword search."""

SearchMode = Literal["auto", AnsweredBy]
"""The search that the caller wants. ``auto``: dense, or lexical while no embedder answers."""


class ScoredPassage(NamedTuple):
    """A passage that a retriever found; the scores of one retriever are comparable with each other only."""

    passage_id: int
    score: float


class PassageView(msgspec.Struct, frozen=True, gc=False):
    """A passage of a document that search may show, with its document; ``metadata`` is JSON text."""

    passage_id: int
    doc_id: str
    text: str
    metadata: str


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A search result.

    ``score`` is the cosine similarity in vector search and BM25 in keyword search. ``metadata`` is JSON text.
    """

    doc_id: str
    score: float
    text: str
    metadata: str


class Hits(list[Hit]):
    """Hits by descending score, with a lease on the memory that their texts take."""

    def __init__(self, hits: Iterable[Hit], lease: Lease | None = None) -> None:
        super().__init__(hits)
        # The lease lives as long as the hits: dropping the last reference to them returns the memory to the budget.
        self._lease = lease
