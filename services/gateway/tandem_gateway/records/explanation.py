"""How a search came to its answer: the time of each stage, and the places of each hit in the rankings."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Stage = Literal["filter", "queue", "embed", "index", "words", "rerank", "fetch"]
"""``filter``: the passages that match the filter. ``queue``: the wait for a call to the embedder. ``embed``: that call.
``index``: the vector index. ``words``: the keyword index. ``rerank``: the texts for the reranker, and its scores.
``fetch``: the documents of the hits."""


@dataclass(slots=True)
class Stages:
    """The seconds of each stage of one search so far. A search that is repeated adds to them."""

    seconds: dict[Stage, float] = field(default_factory=dict)
    """A stage that did not run is missing."""
    attempts: int = 0
    """Number of retrievals: more than 1 if the store has changed meanwhile."""

    def add(self, stage: Stage, seconds: float) -> None:
        """Add seconds to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


class Place(NamedTuple):
    """A document's place in the ranking of vector search or keyword search."""

    rank: int
    """From 1."""
    score: float
    """Cosine similarity or BM25 score."""
    part: float | None
    """What the fused score has of this ranking; None without fusion."""


class HitExplanation(NamedTuple):
    """A hit's places in both rankings; None for a ranking that does not have it."""

    dense: Place | None
    lexical: Place | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search came to its answer."""

    stages: Stages
    dense: int | None
    """Number of documents that vector search found; None if it did not run."""
    lexical: int | None
    """Number of documents that keyword search found; None if it did not run."""
    matching: int | None
    """Number of documents that match the filter; None without a filter."""
    hits: list[HitExplanation]
    """One per hit."""
    reranked: int | None = None
    """Number of documents for the reranker; None if the search did not ask for it."""
