"""Search results."""

from collections.abc import Iterable

import msgspec

from tandem_runtime.memory import Lease


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
