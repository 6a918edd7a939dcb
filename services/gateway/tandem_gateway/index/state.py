"""The queries of the vector index, its answers, and its state."""

from dataclasses import dataclass

import msgspec

from tandem_contract.decoding import cut
from tandem_gateway.errors import Conflict, GatewayError, NotFound
from tandem_gateway.index.findable import Candidates
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.records.search import Hits, RankedPassage

Ranked = list[RankedPassage] | GatewayError
"""The passages nearest to a query, by descending score, or the error that concerns it alone."""

Answer = Hits | Ranked
"""A query's hits, or the passages if it does not want their documents; or the error that concerns it alone."""


class VectorQuery(msgspec.Struct, frozen=True):
    """One query; ``vector`` is ``(dim,) float32`` of unit length."""

    collection: str
    vector: Vectors
    fingerprint: str
    top_k: int
    hydrated: bool = True
    """Whether the answer is hits, with documents; otherwise it is ranked passages."""
    among: Keys | None = None
    """The passages that may be in the answer, ascending; None for all."""
    at_least: int | None = None
    """Position that the indexes must have; None to ask the store for the last one."""


class DocumentVector(msgspec.Struct, frozen=True):
    """The vector of a document's first passage, ``(dim,) float32`` of unit length, and its model."""

    passage_id: int
    vector: QueryVector


def no_document(collection: str, doc_id: str) -> NotFound:
    """Return the error for a search from a document that does not exist."""
    return NotFound(f"document_id: there is no document {cut(doc_id)!r} in {collection!r}", param="document_id")


def waiting_document(doc_id: str) -> Conflict:
    """Return the error for a search from a document that has no version that search finds."""
    return Conflict(
        f"document_id: document {cut(doc_id)!r} has no vector yet: it waits for its embedding; repeat the search "
        "when its job has ended",
        param="document_id",
    )


@dataclass(frozen=True, slots=True)
class IndexState:
    """State of a collection's index, for metrics and the decision to take a snapshot."""

    space_id: int
    collection: str
    count: int
    """Number of vectors in the index; search finds all of them."""
    exact: int
    """Number of these vectors that each query is compared with one by one."""
    new: int
    """Number of these vectors that were added after the current snapshot and are not in a graph yet."""
    strays: int
    """Unreachable vectors (strays), which the first graph does not find and another part of the index does."""
    unproven: int
    """See ``index.base.Sweep.unproven``."""
    position: int
    """Number of the last change in the index."""
    saved: int
    """Number of the last change in the snapshot; 0 if there is none."""
    serving: bool = True
    """Whether searches use the index; false for that of a second space."""
    in_engine: bool = False
    """Whether a vector engine has the vectors."""


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates of queries, before their rows are read.

    Attributes:
        candidates: of each query, or the error that concerns it alone.
        version: of the searched indexes; the candidates are valid for this version only.
        started: ``time.monotonic()`` when the search began.
    """

    candidates: list[Candidates | GatewayError]
    version: int
    started: float
