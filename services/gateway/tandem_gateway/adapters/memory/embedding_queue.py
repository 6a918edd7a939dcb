"""Implements the embedding queue in memory."""

import time
from collections.abc import Callable, Collection, Sequence

from tandem_gateway.adapters.batching import first_within
from tandem_gateway.adapters.leases import Lease, LeaseTable, Turns, batch_alone
from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch, PendingPassage
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
        passage_ids = list(range(self._last_row + 1, self._last_row + 1 + len(texts)))
        self._last_row += len(texts)
        waiting = self._pending.setdefault(self._names.index(collection) + 1, {})
        waiting.update(zip(passage_ids, texts, strict=True))
        return passage_ids

    def delete(self, passage_id: int) -> None:
        """Delete a pending document; its lease, if it has one, goes on."""
        for waiting in self._pending.values():
            waiting.pop(passage_id, None)

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
            free = [passage_id for passage_id in texts if passage_id not in held.get(number, ())][:limit]
            if free:
                self._turns.serve(number)
                alone = [(passage_id, texts[passage_id]) for passage_id in batch_alone(free, attempts)]
                chosen = first_within(alone, lambda row: utf8_bytes(row[1]), self._batch_bytes)
                self._leases.grant((passage_id for passage_id, _ in chosen), Lease(worker, number, now + lease_seconds))
                passages = [PendingPassage(*each, attempts.get(each[0], 0)) for each in chosen]
                return PendingBatch(number, self._names[number - 1], passages, self._fingerprints.get(number))
        return None

    async def extend(self, worker: str, passage_ids: Sequence[int], lease_seconds: float) -> list[int]:
        """Extend leases; see ``EmbeddingQueue.extend``."""
        now = self._clock()
        return self._leases.extend(worker, passage_ids, now, now + lease_seconds)

    async def release(self, worker: str, passage_ids: Sequence[int], *, suspect: bool = False) -> None:
        """Give documents back; see ``EmbeddingQueue.release``."""
        self._leases.release(worker, passage_ids, suspect=suspect)

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Keep the documents' vectors; see ``EmbeddingQueue.complete``."""
        number = batch.collection_id
        pinned = self._fingerprints.setdefault(number, batch.fingerprint)
        if pinned != batch.fingerprint:
            raise FingerprintMismatch(self._names[number - 1], pinned=pinned, offered=batch.fingerprint)
        done = 0
        for passage_id, vector in zip(batch.passage_ids, batch.vectors, strict=True):
            if self._pending[number].pop(passage_id, None) is not None:
                self.vectors[passage_id] = vector
                done += 1
        self._leases.forget(batch.passage_ids)
        return done

    async def fail(self, passage_id: int, error: str) -> None:
        """Delete a pending document and keep the error; see ``EmbeddingQueue.fail``."""
        for waiting in self._pending.values():
            if waiting.pop(passage_id, None) is not None:
                self.failures[passage_id] = error
        self._leases.forget([passage_id])
