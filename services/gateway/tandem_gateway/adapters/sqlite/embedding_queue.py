"""Implements the embedding queue on the store: all its statements, and the leases in memory.

One gateway owns a data directory, so its leases need no disk: a claim reads the store and costs no commit. A restart
frees every lease and forgets the attempts. The documents themselves stay pending in the store until ``complete`` or
``fail``.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence, Set
from typing import Final, Protocol, TypeVar

from tandem_gateway.adapters.batching import PendingText, pending_batch
from tandem_gateway.adapters.leases import Lease, LeasedQueue, Turns, batch_alone
from tandem_gateway.adapters.limits import FAILED_BYTES
from tandem_gateway.adapters.owner_turns import OwnerTurns
from tandem_gateway.adapters.sqlite import catalogue, counters, failed_versions, jobs, reads, versions
from tandem_gateway.adapters.sqlite.passages import NewVector
from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.documents import CollectionRecord, EmbeddedBatch, PendingBatch, PendingPassage
from tandem_gateway.records.job_documents import embedded_status

R = TypeVar("R")

MAX_NUMBER: Final = (1 << 63) - 1

_PENDING = (
    "SELECT p.passage_id, d.document_id FROM documents d INDEXED BY documents_waiting "
    "JOIN passages p ON p.document_id = d.document_id "
    "WHERE d.collection_id = :collection_id AND d.live = 0 AND d.document_id BETWEEN :first AND :last AND NOT EXISTS "
    "(SELECT 1 FROM vectors v WHERE v.passage_id = p.passage_id AND v.space_id = :space_id) "
    "ORDER BY d.document_id, p.ordinal LIMIT :count"
)
_TEXT = (
    f"SELECT d.text, p.start, p.stop, p.ordinal, f.format, d.checksum IS {reads.DOCUMENT_CHECKSUM}, "
    "(SELECT w.job_id FROM waiting w WHERE w.document_id = d.document_id ORDER BY w.job_id LIMIT 1) "
    "FROM passages p JOIN documents d ON d.document_id = p.document_id "
    "LEFT JOIN document_formats f ON f.document_id = d.document_id WHERE p.passage_id = ?"
)


class Run(Protocol):
    """Runs statements on a connection in its thread, and returns their result."""

    def __call__(self, statement: Callable[[sqlite3.Connection], R], /) -> Awaitable[R]:
        """Run ``statement`` in a transaction."""
        ...


class SqliteEmbeddingQueue(LeasedQueue):
    """Implements ``EmbeddingQueue``; one event loop uses it."""

    def __init__(
        self,
        read: Run,
        write: Run,
        *,
        batch_bytes: int,
        failed_bytes: int = FAILED_BYTES,
        clock: Callable[[], float] = time.monotonic,
        on_damage: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a queue in which no passage is leased.

        Args:
            read: runs a read; one at a time, in the order of the calls.
            write: runs a write; returns once it is on disk.
            batch_bytes: maximum UTF-8 bytes of a batch's texts; a longer text comes alone.
            failed_bytes: maximum size of all the failed versions that the store keeps; see ``Limits``.
            clock: returns seconds; never goes back.
            on_damage: called when a claim finds a damaged document.
        """
        super().__init__(clock)
        self._read = read
        self._write = write
        self._on_damage = on_damage
        self._failed_bytes = failed_bytes
        self._claiming = asyncio.Lock()
        self._pending = PendingPassages(batch_bytes)

    async def claim(
        self, worker: str, limit: int, lease_seconds: float, without: Collection[int] = ()
    ) -> PendingBatch | None:
        """Lease passages; see ``EmbeddingQueue.claim``."""
        async with self._claiming:
            self._leases.expire(self._clock())
            # Passages that are leased before the read stay excluded: one that is completed during the read may still be
            # pending in the read's state of the store.
            held, attempts, passed_over = self._leases.held(), self._leases.attempts(), frozenset(without)
            batch = await self._read(lambda c: self._pending.next_batch(c, limit, passed_over, held, attempts))
            if batch is None:
                return None
            if batch.passages[0].damaged:
                self._on_damage()
            lease = Lease(worker, batch.collection_id, self._clock() + lease_seconds)
            self._leases.grant((passage.passage_id for passage in batch.passages), lease)
            return batch

    def note_owner(self, collection_id: int, first: int, last: int, owner: str) -> None:
        """Note that the documents with these numbers, both ends included, were accepted for an owner."""
        self._pending.owners.note(collection_id, first, last, owner)

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Give passages their vectors; see ``EmbeddingQueue.complete``."""
        done = await self._write(lambda c: complete(c, batch, time.time()))
        self._leases.forget(batch.passage_ids)
        return done

    async def fail(self, passage_id: int, error: str) -> None:
        """Mark a pending document as failed; see ``EmbeddingQueue.fail``."""
        await self._write(lambda c: fail(c, passage_id, error, time.time(), self._failed_bytes))
        self._leases.forget([passage_id])


class PendingPassages:
    """Finds the passages of the next claim; the thread that reads the store owns it."""

    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes
        self._turns = Turns()
        self.owners = OwnerTurns()
        self._first: dict[int, int] = {}
        """Collection → number of a document before which none is pending; new documents get higher numbers."""
        self._retry = 0
        """Number of the last retry: after another one, documents of lower numbers may be pending again."""

    def next_batch(
        self,
        connection: sqlite3.Connection,
        limit: int,
        without: Set[int],
        held: Mapping[int, Set[int]],
        attempts: Mapping[int, int],
    ) -> PendingBatch | None:
        """Return the passages of the next claim; None if every pending passage is excluded.

        Args:
            connection: in a transaction.
            limit: maximum number of passages.
            without: collections to skip.
            held: collection → its leased passages, which are excluded.
            attempts: passage → number of attempts that ended badly.
        """
        records = {record.collection_id: record for record in reads.collections(connection)}
        self._turns.keep(records.keys())
        self.owners.keep(records.keys())
        retry = counters.value(connection, "retry")
        if retry != self._retry:
            self._retry, self._first = retry, {}
        self._first = {number: first for number, first in self._first.items() if number in records}
        waiting = {number for number, record in records.items() if record.pending} - without
        for number in self._turns.order(waiting, {number: len(rows) for number, rows in held.items()}):
            of_collection = held.get(number, frozenset())
            passages = self._in_turn(connection, records[number], limit, of_collection, attempts)
            passages = passages or self._free_passages(connection, records[number], limit, of_collection)
            if passages:
                self._turns.serve(number)
                return self._batch(connection, records[number], batch_alone(passages, attempts), attempts)
        return None

    def _in_turn(
        self,
        connection: sqlite3.Connection,
        record: CollectionRecord,
        limit: int,
        held: Set[int],
        attempts: Mapping[int, int],
    ) -> list[int]:
        """Return the first passages that nobody holds, those of the owner whose turn it is first.

        Those of the next owners fill the batch, as a call with few texts takes nearly as long as a full one. Their
        passages with attempts do not: such a passage comes alone, and so in the turn of its own owner.
        """
        found: dict[int, None] = {}
        for owner, ranges in self.owners.lanes(record.collection_id):
            passed_over = attempts if found else ()
            for each in list(ranges):
                first = each.first if owner is not None else self._first.get(record.collection_id, 0)
                passages = pending_passages(connection, record, first, limit + len(held), each.last)
                if not passages:
                    self.owners.finished(record.collection_id, owner, each)
                    continue
                each.first = passages[0][1]
                if owner is None:
                    self._first[record.collection_id] = each.first
                free = [number for number, _ in passages if number not in held and number not in passed_over]
                if free and not found:
                    self.owners.serve(record.collection_id, owner)
                found.update(dict.fromkeys(free))
                if len(found) >= limit:
                    return list(found)[:limit]
        return list(found)

    def _free_passages(
        self, connection: sqlite3.Connection, record: CollectionRecord, limit: int, held: Set[int]
    ) -> list[int]:
        """Return the first passages of a collection's pending documents that nobody holds."""
        first = self._first.get(record.collection_id, 0)
        passages = pending_passages(connection, record, first, limit + len(held))
        if passages:
            self._first[record.collection_id] = passages[0][1]
        return [passage_id for passage_id, _ in passages if passage_id not in held][:limit]

    def _batch(
        self,
        connection: sqlite3.Connection,
        record: CollectionRecord,
        passage_ids: Sequence[int],
        attempts: Mapping[int, int],
    ) -> PendingBatch:
        texts = passage_texts(connection, passage_ids, attempts)
        return pending_batch(record, texts, self._batch_bytes)


def pending_passages(
    connection: sqlite3.Connection, record: CollectionRecord, first: int, count: int, last: int = MAX_NUMBER
) -> list[tuple[int, int]]:
    """Return (passage, document) of up to ``count`` passages without a vector, in the order of the documents.

    The cost does not depend on the other collections.

    Args:
        connection: in a transaction.
        record: the collection.
        first: number of a document before which none of the collection is pending.
        count: maximum number of passages.
        last: number of the last document to look at.
    """
    values = {
        "collection_id": record.collection_id, "space_id": record.space_id,
        "first": first, "last": last, "count": count,
    }  # fmt: skip
    return connection.execute(_PENDING, values).fetchall()


def passage_texts(
    connection: sqlite3.Connection, passage_ids: Sequence[int], attempts: Mapping[int, int]
) -> Iterator[PendingText]:
    """Return passages with their texts, one by one. A vector outlives what it was made of, so checksums are checked."""
    for passage_id in passage_ids:
        text, start, stop, ordinal, text_format, sound, job = connection.execute(_TEXT, (passage_id,)).fetchone()
        tried = attempts.get(passage_id, 0)
        passage = (
            PendingPassage(passage_id, text[start:stop], tried, job=job)
            if sound
            else PendingPassage(passage_id, "", tried, True, job)
        )
        yield PendingText(passage, whole=ordinal == 0 and stop is None, format=text_format or "text")


def complete(connection: sqlite3.Connection, batch: EmbeddedBatch, now: float) -> int:
    """Give passages their vectors; see ``EmbeddingQueue.complete``."""
    collection = reads.collection_by_id(connection, batch.collection_id)
    if collection is None:
        return 0
    dim = int(batch.vectors.shape[1])
    pinned = collection.fingerprint
    if pinned is not None and (pinned, collection.dim) != (batch.fingerprint, dim):
        raise FingerprintMismatch(collection.name, pinned=pinned, offered=batch.fingerprint)
    done = 0
    little_endian = batch.vectors.astype("<f4", copy=False)
    for passage_id, spans, rows in batch.texts():
        version = versions.pending_of(connection, passage_id)
        if version is None:
            continue
        if pinned is None:  # only now: a batch without a pending passage has no vector to store
            catalogue.pin(connection, collection.space_id, batch.fingerprint, batch.model, dim)
            pinned = batch.fingerprint
        passage_ids = versions.split(connection, version, passage_id, spans) if spans else [passage_id]
        vectors = [
            NewVector(number, little_endian[row].tobytes(), batch.coverages[row] if batch.coverages else None)
            for number, row in zip(passage_ids, rows, strict=True)
        ]
        if not versions.add_vectors(connection, collection.space_id, version, vectors):
            continue
        coverage = reads.coverage(connection, version.document_id)
        progress, status = jobs.Progress.of(coverage), embedded_status(coverage)
        jobs.release(connection, version.document_id, progress, status, now, batch.started_at)
        done += 1
    if done:
        catalogue.note_change(connection, batch.collection_id)
    return done


def fail(connection: sqlite3.Connection, passage_id: int, error: str, now: float, most_bytes: int) -> None:
    """Mark a passage's pending document as failed; see ``EmbeddingQueue.fail``."""
    version = versions.pending_of(connection, passage_id)
    if version is None:
        return
    failed_versions.fail(connection, version, error, now, most_bytes)
    catalogue.note_change(connection, version.collection_id)
