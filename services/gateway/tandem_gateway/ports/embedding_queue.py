"""The queue of passages that wait for their vectors."""

from collections.abc import Collection, Sequence
from typing import Protocol

from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch


class EmbeddingQueue(Protocol):
    """Hands out passages of pending documents under leases, fairly over collections.

    A lease belongs to one worker and ends at a fixed time. Until then, no other claim returns the passage. If a worker
    dies, later claims return its passages once their leases have run out.

    The queue counts the attempts of each passage that ended badly: its lease ran out, or its worker released it as a
    suspect. A passage with such an attempt comes in a batch of its own, so that the next failure can only be its own.

    Every method may raise StorageUnavailable and StorageCorrupt. ``complete`` and ``fail`` may also raise Overloaded
    and DeadlineExceeded; after DeadlineExceeded the write may still take effect.
    """

    async def claim(
        self, worker: str, limit: int, lease_seconds: float, without: Collection[int] = ()
    ) -> PendingBatch | None:
        """Lease pending passages of one collection, the oldest first; None if every pending passage is leased.

        The collection is the one with the fewest passages under lease; among equals, the one served least recently.
        Within a collection, the owners of documents take turns, the one served least recently first; documents of
        unknown owners take turns as those of one more. The owners of documents that were accepted before a restart are
        not known.

        The batch is smaller than ``limit`` if its texts would exceed the body size that an embedder accepts, or are
        many to split. The leases
        of a cancelled claim run out like any others.

        A passage of a damaged document comes alone and without its text. The worker can only ``fail`` it.

        Args:
            worker: name of the worker; no other worker may use it.
            limit: maximum number of passages.
            lease_seconds: seconds until the leases run out.
            without: ids of collections to skip.
        """
        ...

    async def extend(self, worker: str, passage_ids: Sequence[int], lease_seconds: float) -> list[int]:
        """Let the worker's leases run out ``lease_seconds`` from now; return the passages that it still holds."""
        ...

    async def release(self, worker: str, passage_ids: Sequence[int], *, suspect: bool = False) -> None:
        """Give passages back, so that the next claim may return them; skip those that the worker does not hold.

        Args:
            worker: name of the worker.
            passage_ids: of the passages.
            suspect: whether one of the passages may have caused a failure; each then has one more attempt.
        """
        ...

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Store the vectors of a batch, end its leases, and return how many documents went live.

        A text that was split becomes the passages of ``batch.spans``: the passage that was claimed is the first of
        them. A document goes live when all its passages have vectors. Passages whose document was replaced or deleted
        since the claim are skipped, and so are passages that have a vector. A worker may therefore complete a batch
        whose leases ran out. The first vector that is stored pins the collection to its model.

        Raises:
            FingerprintMismatch: the collection is pinned to another fingerprint. Nothing is written.
        """
        ...

    async def fail(self, passage_id: int, error: str) -> None:
        """Mark the document of a passage as failed: delete it, and record its id and the error in its jobs."""
        ...
