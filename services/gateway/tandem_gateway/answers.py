"""Limits on the documents of one answer: a size in bytes, and a share of the memory budget of all requests."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tandem_gateway.errors import InvalidRequest, Overloaded
from tandem_gateway.records.search import Hit, Hits
from tandem_runtime.memory import FREE_BYTES, MemoryBudget, OverBudget, memory_bytes, utf8_bytes

ReadVectors = Mapping[int, bytes]
"""Passage id → vector, float32, little-endian."""


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """``bytes`` limits one answer; ``memory`` is the budget of all requests together."""

    bytes: int
    memory: MemoryBudget

    def held(self, hits: list[Hit], top_k: int) -> Hits:
        """Return the hits with a lease on the memory that they take.

        Raises:
            InvalidRequest: the hits take more than ``bytes``.
            Overloaded: the memory budget is used up.
        """
        characters = sum(len(hit.text) + len(hit.metadata) for hit in hits)
        if 4 * characters <= FREE_BYTES:
            return Hits(hits)
        if sum(utf8_bytes(hit.text) + utf8_bytes(hit.metadata) for hit in hits) > self.bytes:
            raise self.too_large(top_k)
        lease = self.memory.lease()
        try:
            lease.hold(sum(memory_bytes(hit.text) + memory_bytes(hit.metadata) for hit in hits))
        except OverBudget as error:
            message = str(error)
        else:
            return Hits(hits, lease)
        raise Overloaded(message)  # outside the handler: a context's traceback would keep the hits

    def with_vectors(self, hits: Hits, vectors: ReadVectors) -> Hits:
        """Return hits with the vectors of their best passages, and a lease on the memory of these as well.

        Args:
            hits: the hits.
            vectors: vectors by passage id; a hit without one keeps None.

        Raises:
            Overloaded: the memory budget is used up.
        """
        lease = self.memory.lease()
        try:
            lease.hold(sum(map(len, vectors.values())))
        except OverBudget as error:
            raise Overloaded(str(error)) from None
        found = [
            hit if hit.best is None else msgspec.structs.replace(hit, vector=vectors.get(hit.best)) for hit in hits
        ]
        return Hits(found, *hits.leases, lease)

    def too_large(self, top_k: int) -> InvalidRequest:
        """Return the error for documents that take more than ``bytes``."""
        return InvalidRequest(
            f"top_k: the {top_k} documents found have more than {self.bytes} bytes, which is the limit of an answer "
            "(TANDEM_MAX_ANSWER_BYTES); ask for fewer",
            param="top_k",
            code="limit_exceeded",
        )
