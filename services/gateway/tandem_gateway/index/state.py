"""The queries of the vector index, its answers, and its state."""

from dataclasses import dataclass

import msgspec

from tandem_gateway.errors import GatewayError
from tandem_gateway.index.findable import Candidates
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.search import Hits

Answer = Hits | GatewayError
"""A query's hits by descending score, or the error that concerns it alone."""


class VectorQuery(msgspec.Struct, frozen=True):
    """One query; ``vector`` is ``(dim,) float32`` of unit length."""

    collection: str
    vector: Vectors
    fingerprint: str
    top_k: int


@dataclass(frozen=True, slots=True)
class IndexState:
    """How a collection's index is, for metrics and the decision to take a snapshot."""

    collection_id: int
    collection: str
    count: int
    """Vectors that it finds."""
    exact: int
    """Of these, the ones that each query is compared with one by one."""
    new: int
    """Of these, the ones that belong into a graph and came after the snapshot that is in use."""
    strays: int
    """Vectors that the first graph does not find, and that something else does."""
    unproven: int
    """See ``index.base.Sweep.unproven``."""
    position: int
    """Number of the last change that it holds."""
    saved: int
    """Number of the last change that its snapshot holds; 0 if it has none."""


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates of queries, found before their rows were read.

    Attributes:
        candidates: of each query, or the error that concerns it alone.
        version: of the indexes that were searched; they hold for that version only.
        started: ``time.monotonic()`` when the search began.
    """

    candidates: list[Candidates | GatewayError]
    version: int
    started: float
