"""Implements the embedding queue on a store in memory."""

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial

from tandem_gateway.adapters.batching import PendingText, pending_batch
from tandem_gateway.adapters.leases import Lease, LeasedQueue, Turns, batch_alone
from tandem_gateway.adapters.limits import FAILED_BYTES, MAX_ERROR_CHARS, MAX_KEPT_FAILURES, MAX_REASON_CHARS
from tandem_gateway.adapters.memory import collection as stored
from tandem_gateway.adapters.memory import failed
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.adapters.owner_turns import OwnerTurns
from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch, PendingPassage
from tandem_gateway.records.job_documents import embedded_status


class MemoryEmbeddingQueue(LeasedQueue):
    """Implements ``EmbeddingQueue``; one event loop uses it."""

    def __init__(
        self,
        content: Content,
        *,
        batch_bytes: int,
        failed_bytes: int = FAILED_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a queue in which no passage is leased.

        Args:
            content: of the store.
            batch_bytes: maximum UTF-8 bytes of a batch's texts; a longer text comes alone.
            failed_bytes: maximum size of all the failed versions that the store keeps; see ``Limits``.
            clock: returns seconds; never goes back.
        """
        super().__init__(clock)
        self._content = content
        self._batch_bytes = batch_bytes
        self._failed_bytes = failed_bytes
        self._turns = Turns()
        self._owners = OwnerTurns()

    async def claim(
        self, worker: str, limit: int, lease_seconds: float, without: Collection[int] = ()
    ) -> PendingBatch | None:
        """Lease passages; see ``EmbeddingQueue.claim``."""
        now = self._clock()
        self._leases.expire(now)
        held, attempts = self._leases.held(), self._leases.attempts()
        with self._content.lock:
            collections = {each.collection_id: each for each in self._content.collections.values()}
            self._turns.keep(collections.keys())
            self._owners.keep(collections.keys())
            waiting = {number for number, each in collections.items() if each.pending}.difference(without)
            for number in self._turns.order(waiting, {number: len(passages) for number, passages in held.items()}):
                texts, free = self._first_free(collections[number], limit, held.get(number, set()), attempts)
                if free:
                    self._turns.serve(number)
                    alone = [
                        texts[passage_id](attempts.get(passage_id, 0)) for passage_id in batch_alone(free, attempts)
                    ]
                    batch = pending_batch(collections[number].record(), alone, self._batch_bytes)
                    lease = Lease(worker, number, now + lease_seconds)
                    self._leases.grant((passage.passage_id for passage in batch.passages), lease)
                    return batch
        return None

    def note_owner(self, collection_id: int, first: int, last: int, owner: str) -> None:
        """Note that the versions with these numbers, both ends included, were accepted for an owner."""
        self._owners.note(collection_id, first, last, owner)

    def _first_free(
        self, collection: stored.Collection, limit: int, held: set[int], attempts: Mapping[int, int]
    ) -> tuple[dict[int, Callable[[int], PendingText]], list[int]]:
        """Return a collection's passages without a vector, and the first free ones, of the owner in turn first."""
        texts = _texts_without_vector(collection)
        numbers = {
            passage.passage_id: version.number
            for version in collection.pending.values()
            for passage in version.passages
        }
        found: dict[int, None] = {}
        for owner, ranges in self._owners.lanes(collection.collection_id):
            passed_over = attempts if found else ()
            for each in list(ranges):
                inside = [passage_id for passage_id in texts if each.first <= numbers[passage_id] <= each.last]
                free = [number for number in inside if number not in held and number not in passed_over]
                if not inside:
                    self._owners.finished(collection.collection_id, owner, each)
                elif free and not found:
                    self._owners.serve(collection.collection_id, owner)
                found.update(dict.fromkeys(free))
                if len(found) >= limit:
                    return texts, list(found)[:limit]
        return texts, (list(found) or [number for number in texts if number not in held])[:limit]

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Give passages their vectors; see ``EmbeddingQueue.complete``."""
        with self._content.lock:
            done = self._complete(batch)
            self._content.version += 1
        self._leases.forget(batch.passage_ids)
        return done

    def _complete(self, batch: EmbeddedBatch) -> int:
        content = self._content
        collections = content.collections.values()
        collection = next((each for each in collections if each.collection_id == batch.collection_id), None)
        if collection is None:
            return 0
        offered = (batch.fingerprint, int(batch.vectors.shape[1]))
        if collection.fingerprint is not None and (collection.fingerprint, collection.dim) != offered:
            raise FingerprintMismatch(collection.name, pinned=collection.fingerprint, offered=batch.fingerprint)
        done = 0
        for passage_id, spans, rows in batch.texts():
            found = collection.pending_passage(passage_id)
            if found is None or found[1].vector is not None:
                continue
            if collection.fingerprint is None:
                collection.fingerprint, collection.dim = offered
                collection.model = batch.model
                content.catalogue += 1
            version, first = found
            passages = content.split(version, first, spans) if spans else [first]
            for passage, row in zip(passages, rows, strict=True):
                passage.vector = batch.vectors[row].astype("<f4").tobytes()
                passage.coverage = batch.coverages[row] if batch.coverages else None
            if all(each.vector is not None for each in version.passages):
                content.make_live(collection, version)
                coverage = version.coverage()
                status = embedded_status(coverage)
                content.end_wait(version, status, time.time(), coverage=coverage, started_at=batch.started_at)
                done += 1
        return done

    async def fail(self, passage_id: int, error: str) -> None:
        """Mark a pending document as failed; see ``EmbeddingQueue.fail``."""
        with self._content.lock:
            for collection in self._content.collections.values():
                found = collection.pending_passage(passage_id)
                if found is not None:
                    self._fail(collection, found[0], error)
        self._leases.forget([passage_id])

    def _fail(self, collection: stored.Collection, version: stored.Version, error: str) -> None:
        content = self._content
        reasons = dict.fromkeys(version.jobs, error[:MAX_REASON_CHARS])
        for job_id in version.jobs:
            job = content.jobs[job_id]
            if job.failed < MAX_KEPT_FAILURES:
                failures = [*job.failures, (version.document.doc_id, error[:MAX_ERROR_CHARS])]
                content.jobs[job_id] = dataclasses.replace(job, failures=failures)
                reasons[job_id] = error[:MAX_ERROR_CHARS]
        failed.keep(content, collection, version, time.time(), self._failed_bytes)
        content.end_wait(version, "failed", time.time())
        for job_id, reason in reasons.items():
            content.end(version, job_id, "failed", reason)
        content.remove(collection, version)
        content.version += 1


def _texts_without_vector(collection: stored.Collection) -> dict[int, Callable[[int], PendingText]]:
    """Return a collection's passages that wait for a vector, by passage id, the oldest first.

    Each is a function of the passage's attempts.
    """
    return {
        passage.passage_id: partial(_pending_text, version, passage)
        for version in collection.pending.values()
        for passage in version.passages
        if passage.vector is None
    }


def _pending_text(version: stored.Version, passage: stored.Passage, attempts: int) -> PendingText:
    text = version.document.text[passage.start : passage.stop]
    whole = passage is version.passages[0] and passage.stop is None
    return PendingText(
        PendingPassage(passage.passage_id, text, attempts, job=next(reversed(version.jobs), None)),
        whole,
        version.document.format,
    )
