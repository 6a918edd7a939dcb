"""What the documents of one answer may take: a bound in bytes, and a part of the memory that all requests share."""

import sys
from dataclasses import dataclass

from tandem_contract.service.memory import FREE_BYTES, MemoryBudget, OverBudget
from tandem_gateway.errors import InvalidRequest, Overloaded
from tandem_gateway.model import Hit, Hits


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """What answers may take: bytes of one, and the memory of all requests together."""

    bytes: int
    memory: MemoryBudget

    def held(self, hits: list[Hit], top_k: int) -> Hits:
        """Return hits with a lease on the memory that they take.

        Raises:
            InvalidRequest: if they have more than ``bytes``.
            Overloaded: if the budget has not as many left.
        """
        characters = sum(len(hit.text) + len(hit.metadata) for hit in hits)
        if 4 * characters <= FREE_BYTES:
            return Hits(hits)
        size = sum(sys.getsizeof(hit.text) + sys.getsizeof(hit.metadata) for hit in hits)
        if size > self.bytes:
            raise self.too_large(top_k)
        lease = self.memory.lease()
        try:
            lease.hold(size)
        except OverBudget as error:
            raise Overloaded(str(error)) from error
        return Hits(hits, lease)

    def too_large(self, top_k: int) -> InvalidRequest:
        """Return the error for documents that have more than ``bytes``."""
        return InvalidRequest(
            f"top_k: the {top_k} documents found have more than {self.bytes} bytes, which is the limit of an answer "
            "(TANDEM_MAX_ANSWER_BYTES); ask for fewer",
            param="top_k",
            code="limit_exceeded",
        )
