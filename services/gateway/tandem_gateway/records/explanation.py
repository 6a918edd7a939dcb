"""How a search came to its answer: the time of each stage, and the places of each hit in the rankings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from tandem_runtime.trace import Failure, Span, TraceContext, current_span

Stage = Literal["filter", "queue", "embed", "index", "words", "rerank", "fetch"]
"""``filter``: the passages that match the filter. ``queue``: the wait for a call to the embedder. ``embed``: that call.
``index``: the vector index. ``words``: the keyword index. ``rerank``: the texts for the reranker, and its scores.
``fetch``: the documents of the hits."""


SPANS: Final[Mapping[Stage, str]] = {
    "filter": "filter",
    "queue": "queue",
    "embed": "embed",
    "index": "retrieve dense",
    "words": "retrieve lexical",
    "rerank": "rerank",
    "fetch": "hydrate",
}
"""Name of the span of each stage."""


@dataclass(slots=True)
class Stages:
    """The seconds of each stage of one search so far, and their spans. A search that is repeated adds to them."""

    seconds: dict[Stage, float] = field(default_factory=dict)
    """A stage that did not run is missing."""
    attempts: int = 0
    """Number of retrievals: more than 1 if the store has changed meanwhile."""
    span: Span | None = None
    """Span of the search; None if it is not recorded."""

    @classmethod
    def begin(cls, *, explain: bool = False) -> "Stages | None":
        """Return what gets the times of a search; None if it is neither explained nor traced."""
        span = current_span()
        return cls(span=span) if explain or span is not None else None

    def add(
        self,
        stage: Stage,
        started: float,
        ended: float,
        *,
        links: Sequence[TraceContext] = (),
        error: Failure = None,
    ) -> None:
        """Add the time of a stage.

        Args:
            stage: which one.
            started: when it began, by ``time.monotonic``.
            ended: when it ended.
            links: the batches that did its work.
            error: why its result is missing or another; None if it is not.
        """
        self.took(stage, ended - started)
        if self.span is not None:
            self.span.record(SPANS[stage], started, ended, links=links, error=error)

    def took(self, stage: Stage, seconds: float) -> None:
        """Add seconds to a stage that has its span already."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def failed(self, stage: Stage, started: float, ended: float, error: Failure) -> None:
        """Record a stage that has no result. Its time is no part of an explanation."""
        if self.span is not None:
            self.span.record(SPANS[stage], started, ended, error=error)

    def fused(self, started: float, ended: float) -> None:
        """Record the fusion of two rankings, which is no stage of an explanation."""
        if self.span is not None:
            self.span.record("fuse", started, ended)


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
