"""Maximum sizes of the bodies of requests and replies."""

from dataclasses import dataclass
from typing import Final

from tandem_runtime.memory import MemoryBudget

INGEST_SHARE: Final = 0.75
"""Share of the memory budget that ingests may use; the rest is reserved for searches and their answers."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Maximum sizes of bodies, in bytes, and the memory budget of all requests together.

    Attributes:
        ingest: request body of an ingest.
        search: request body of a search.
        answer: response body of a search.
        rerank: request body of a reranking.
        memory: the memory budget.
    """

    ingest: int
    search: int
    answer: int
    memory: MemoryBudget
    rerank: int = 1 << 20
