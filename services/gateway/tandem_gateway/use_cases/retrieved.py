"""The passages that a search has retrieved, and whether documents that are read later are of the same state."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.explanation import Stages
from tandem_gateway.records.search import (
    USUAL_FIELDS,
    AnsweredBy,
    Hit,
    HitField,
    KeywordCandidates,
    RankedPassage,
)
from tandem_gateway.use_cases.commands import SearchCommand


@dataclass(frozen=True, slots=True)
class Found:
    """The passages of a search, before their documents are read; see ``result_pages.Answer``."""

    ranked: list[RankedPassage]
    answered_by: AnsweredBy
    degraded: bool
    coverage: Coverage
    among: Keys | None
    """The passages that the search's filter left; None without a filter."""
    dense: list[RankedPassage] | None = None
    """The ranking of vector search; None if it did not run."""
    lexical: KeywordCandidates | None = None
    """The ranking of keyword search; None if it did not run."""
    allowed: Keys | None = None
    """The passages that the query's phrases and exclusions left; None without any."""

    def may_have_more(self, count: int) -> bool:
        """Return whether a retrieval of more than ``count`` passages might find others."""
        dense = self.dense if self.answered_by != "lexical" else None
        lexical = self.lexical.passages if self.lexical is not None and self.answered_by != "dense" else None
        return any(len(each) >= count for each in (dense, lexical) if each is not None)


Retrieve = Callable[[int, float, Stages | None], Awaitable[Found]]
"""Returns that many passages, until a time of the monotonic clock. It adds to the stages, if there are any."""


def eligible(ranked: Sequence[RankedPassage], command: SearchCommand) -> list[RankedPassage]:
    """Return the passages of a ranking that may be hits."""
    if command.min_score is None:
        return list(ranked)
    least = command.min_score
    return [each for each in ranked if each.dense is not None and each.dense >= least]


def is_one_state(
    hits: Sequence[Hit],
    ranked: Sequence[RankedPassage],
    fields: frozenset[HitField] = USUAL_FIELDS,
    without: str | None = None,
) -> bool:
    """Return whether the hits of a ranking can be of one state of the store.

    They are not if a document was replaced between the two retrievals, or before it was read: then a passage has no
    document any more, or a document occurs in an old and a new version. Or a passage that vector search found has no
    vector any more. Or a document occurs that was left out, ``without``.
    """
    if without is not None and any(hit.doc_id == without for hit in hits):
        return False
    if "vector" in fields and any(hit.vector is None and hit.dense is not None for hit in hits):
        return False
    return len(hits) == len(ranked) == len({hit.doc_id for hit in hits})
