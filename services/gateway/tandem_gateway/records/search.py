"""Search results."""

from collections.abc import Iterable

import msgspec

from tandem_contract.service.memory import Lease


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A search result; ``score`` is the cosine similarity, or of lexical search BM25; ``metadata`` is JSON text."""

    doc_id: str
    score: float
    text: str
    metadata: str


class Hits(list[Hit]):
    """Hits by descending score, with the lease on the memory that their texts take."""

    def __init__(self, hits: Iterable[Hit], lease: Lease | None = None) -> None:
        super().__init__(hits)
        # Goes with the hits: the memory is given back when the last holder forgets them.
        self._lease = lease
