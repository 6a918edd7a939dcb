"""Implements the embedding queue in memory."""

import time
from collections.abc import Callable, Collection, Sequence

from tandem_gateway.adapters.batching import first_within
from tandem_gateway.adapters.leases import Lease, LeaseTable, Turns, batch_alone
from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch, PendingDocument
from tandem_runtime.memory import utf8_bytes


class MemoryEmbeddingQueue:
    """Implements ``EmbeddingQueue`` for the texts that ``add`` gives it; one event loop uses it."""

    def __init__(self, *, batch_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty queue.

        Args:
            batch_bytes: maximum UTF-8 bytes of a batch's texts; a longer text comes alone.
            clock: returns seconds; never goes back.
        """
        self.vectors: dict[int, Vectors] = {}
        """Document → its vector."""
        self.failures: dict[int, str] = {}
        """Document → why it failed."""
        self._batch_bytes = batch_bytes
        self._clock = clock
        self._names: list[str] = []
        """Names of the collections; a collection's id is its place, from 1."""
        self._pending: dict[int, dict[int, str]] = {}
        """Collection → document → text, the oldest first."""
        self._fingerprints: dict[int, str] = {}
        self._last_row = 0
        self._leases = LeaseTable()
        self._turns = Turns()

    def add(self, collection: str, texts: Sequence[str]) -> list[int]:
        """Add pending documents to a collection, which is created if it is new; return the documents' row numbers."""
        if collection not in self._names:
            self._names.append(collection)
        row_ids = list(range(self._last_row + 1, self._last_row + 1 + len(texts)))
        self._last_row += len(texts)
        waiting = self._pending.setdefault(self._names.index(collection) + 1, {})
        waiting.update(zip(row_ids, texts, strict=True))
        return row_ids

    def delete(self, row_id: int) -> None:
        """Delete a pending document; its lease, if it has one, goes on."""
        for waiting in self._pending.values():
            waiting.pop(row_id, None)

    async def claim(
        self, worker: str, limit: int, lease_seconds: float, without: Collection[int] = ()
    ) -> PendingBatch | None:
        """Lease documents; see ``EmbeddingQueue.claim``."""
        now = self._clock()
        self._leases.expire(now)
        held, attempts = self._leases.held(), self._leases.attempts()
        waiting = {number for number, texts in self._pending.items() if texts}.difference(without)
        for number in self._turns.order(waiting, {number: len(rows) for number, rows in held.items()}):
            texts = self._pending[number]
            free = [row_id for row_id in texts if row_id not in held.get(number, ())][:limit]
            if free:
                self._turns.serve(number)
                alone = [(row_id, texts[row_id]) for row_id in batch_alone(free, attempts)]
                chosen = first_within(alone, lambda row: utf8_bytes(row[1]), self._batch_bytes)
                self._leases.grant((row_id for row_id, _ in chosen), Lease(worker, number, now + lease_seconds))
                documents = [PendingDocument(row_id, text, attempts.get(row_id, 0)) for row_id, text in chosen]
                return PendingBatch(number, self._names[number - 1], documents, self._fingerprints.get(number))
        return None

    async def extend(self, worker: str, row_ids: Sequence[int], lease_seconds: float) -> list[int]:
        """Extend leases; see ``EmbeddingQueue.extend``."""
        now = self._clock()
        return self._leases.extend(worker, row_ids, now, now + lease_seconds)

    async def release(self, worker: str, row_ids: Sequence[int], *, suspect: bool = False) -> None:
        """Give documents back; see ``EmbeddingQueue.release``."""
        self._leases.release(worker, row_ids, suspect=suspect)

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Keep the documents' vectors; see ``EmbeddingQueue.complete``."""
        number = batch.collection_id
        pinned = self._fingerprints.setdefault(number, batch.fingerprint)
        if pinned != batch.fingerprint:
            raise FingerprintMismatch(self._names[number - 1], pinned=pinned, offered=batch.fingerprint)
        done = 0
        for row_id, vector in zip(batch.row_ids, batch.vectors, strict=True):
            if self._pending[number].pop(row_id, None) is not None:
                self.vectors[row_id] = vector
                done += 1
        self._leases.forget(batch.row_ids)
        return done

    async def fail(self, row_id: int, error: str) -> None:
        """Delete a pending document and keep the error; see ``EmbeddingQueue.fail``."""
        for waiting in self._pending.values():
            if waiting.pop(row_id, None) is not None:
                self.failures[row_id] = error
        self._leases.forget([row_id])
