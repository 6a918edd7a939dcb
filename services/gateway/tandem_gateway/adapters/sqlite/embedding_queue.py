"""Implements the embedding queue on the store: all its statements, and the leases in memory.

One gateway owns a data directory, so its leases need no disk: a claim reads the store and costs no commit. A restart
frees every lease and forgets the attempts. The documents themselves stay pending in the store until ``complete`` or
``fail``.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence, Set
from typing import Protocol, TypeVar

from tandem_gateway.adapters.batching import first_within
from tandem_gateway.adapters.leases import Lease, LeaseTable, Turns, batch_alone
from tandem_gateway.adapters.sqlite import jobs, reads, writes
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS, seal
from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.documents import CollectionRecord, EmbeddedBatch, PendingBatch, PendingDocument
from tandem_runtime.memory import utf8_bytes

R = TypeVar("R")

_MAX_KEPT_FAILURES = 100
_MAX_ERROR_CHARS = 1000
# A claim reads and sorts all pending rows of a collection that has at most this many; that takes about a millisecond.
_FEW = 1000

_FEW_ROWS = (
    "SELECT row_id FROM documents INDEXED BY documents_pending WHERE collection_id = :collection_id AND change IS NULL "
    "ORDER BY row_id LIMIT :count"
)
_MANY_ROWS = (
    "SELECT row_id FROM documents INDEXED BY documents_waiting WHERE change IS NULL AND row_id >= :first "
    "AND collection_id = :collection_id ORDER BY row_id LIMIT :count"
)


class Run(Protocol):
    """Runs statements on a connection in its thread, and returns their result."""

    def __call__(self, statement: Callable[[sqlite3.Connection], R], /) -> Awaitable[R]:
        """Run ``statement`` in a transaction."""
        ...


class SqliteEmbeddingQueue:
    """Implements ``EmbeddingQueue``; one event loop uses it."""

    def __init__(self, read: Run, write: Run, *, batch_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make a queue in which no document is leased.

        Args:
            read: runs a read; one at a time, in the order of the calls.
            write: runs a write; returns once it is on disk.
            batch_bytes: maximum UTF-8 bytes of a batch's texts; a longer text comes alone.
            clock: returns seconds; never goes back.
        """
        self._read = read
        self._write = write
        self._clock = clock
        self._leases = LeaseTable()
        self._claiming = asyncio.Lock()
        self._rows = PendingRows(batch_bytes)

    async def claim(
        self, worker: str, limit: int, lease_seconds: float, without: Collection[int] = ()
    ) -> PendingBatch | None:
        """Lease documents; see ``EmbeddingQueue.claim``."""
        async with self._claiming:
            self._leases.expire(self._clock())
            # Documents that are leased before the read stay excluded: one that is completed during the read may still
            # be pending in the read's state of the store.
            held, attempts, passed_over = self._leases.held(), self._leases.attempts(), frozenset(without)
            batch = await self._read(lambda c: self._rows.next_batch(c, limit, passed_over, held, attempts))
            if batch is None:
                return None
            lease = Lease(worker, batch.collection_id, self._clock() + lease_seconds)
            self._leases.grant((document.row_id for document in batch.documents), lease)
            return batch

    async def extend(self, worker: str, row_ids: Sequence[int], lease_seconds: float) -> list[int]:
        """Extend leases; see ``EmbeddingQueue.extend``."""
        now = self._clock()
        return self._leases.extend(worker, row_ids, now, now + lease_seconds)

    async def release(self, worker: str, row_ids: Sequence[int], *, suspect: bool = False) -> None:
        """Give documents back; see ``EmbeddingQueue.release``."""
        self._leases.release(worker, row_ids, suspect=suspect)

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Give documents their vectors; see ``EmbeddingQueue.complete``."""
        done = await self._write(lambda c: complete(c, batch, time.time()))
        self._leases.forget(batch.row_ids)
        return done

    async def fail(self, row_id: int, error: str) -> None:
        """Mark a pending document as failed; see ``EmbeddingQueue.fail``."""
        await self._write(lambda c: fail(c, row_id, error, time.time()))
        self._leases.forget([row_id])


class PendingRows:
    """Finds the documents of the next claim; the thread that reads the store owns it."""

    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes
        self._turns = Turns()
        self._first: dict[int, int] = {}
        """Collection → a row number below which no row is pending; new rows get higher numbers."""

    def next_batch(
        self,
        connection: sqlite3.Connection,
        limit: int,
        without: Set[int],
        held: Mapping[int, Set[int]],
        attempts: Mapping[int, int],
    ) -> PendingBatch | None:
        """Return the documents of the next claim; None if every pending document is excluded.

        Args:
            connection: in a transaction.
            limit: maximum number of documents.
            without: collections to skip.
            held: collection → its leased documents, which are excluded.
            attempts: document → number of attempts that ended badly.

        Raises:
            StorageCorrupt: a document's checksum is wrong. The collection has had its turn, so that others go on.
        """
        records = {record.collection_id: record for record in reads.collections(connection)}
        self._turns.keep(records.keys())
        self._first = {number: row for number, row in self._first.items() if number in records}
        waiting = {number for number, record in records.items() if record.pending} - without
        for number in self._turns.order(waiting, {number: len(rows) for number, rows in held.items()}):
            rows = self._free_rows(connection, records[number], limit, held.get(number, frozenset()))
            if rows:
                self._turns.serve(number)
                return self._batch(connection, records[number], batch_alone(rows, attempts), attempts)
        return None

    def _free_rows(
        self, connection: sqlite3.Connection, record: CollectionRecord, limit: int, held: Set[int]
    ) -> list[int]:
        """Return the first documents of a collection that nobody holds."""
        first = self._first.get(record.collection_id, 0)
        rows = pending_rows(connection, record, first, limit + len(held))
        if rows:
            self._first[record.collection_id] = rows[0]
        return [row_id for row_id in rows if row_id not in held][:limit]

    def _batch(
        self,
        connection: sqlite3.Connection,
        record: CollectionRecord,
        row_ids: Sequence[int],
        attempts: Mapping[int, int],
    ) -> PendingBatch:
        texts = first_within(_texts(connection, row_ids), lambda row: utf8_bytes(row[1]), self._batch_bytes)
        documents = []
        for row_id, text, sound in texts:
            if not sound:
                raise reads.damaged_row(row_id)
            documents.append(PendingDocument(row_id, text, attempts.get(row_id, 0)))
        return PendingBatch(record.collection_id, record.name, documents, record.fingerprint)


def pending_rows(connection: sqlite3.Connection, record: CollectionRecord, first: int, count: int) -> list[int]:
    """Return up to ``count`` pending rows of a collection, in row order.

    The cost does not depend on the other collections if the collection has few pending documents. Otherwise the rows of
    other collections from ``first`` on are passed over in an index.

    Args:
        connection: in a transaction.
        record: the collection, with its present count of pending documents.
        first: a row number below which none of the collection's rows is pending.
        count: maximum number of rows.
    """
    statement = _FEW_ROWS if record.pending <= _FEW else _MANY_ROWS
    # Without the second bound, a search for more rows than there are would go to the end of the index.
    values = {"collection_id": record.collection_id, "first": first, "count": min(count, record.pending)}
    return [row_id for (row_id,) in connection.execute(statement, values)]


def _texts(connection: sqlite3.Connection, row_ids: Sequence[int]) -> Iterator[tuple[int, str, int]]:
    statement = f"SELECT row_id, text, checksum IS {CHECKSUMS['documents']} FROM documents WHERE row_id = ?"
    for row_id in row_ids:
        row: tuple[int, str, int] = connection.execute(statement, (row_id,)).fetchone()
        yield row


def complete(connection: sqlite3.Connection, batch: EmbeddedBatch, now: float) -> int:
    """Give documents their vectors; see ``EmbeddingQueue.complete``."""
    collection = reads.collection_by_id(connection, batch.collection_id)
    if collection is None:
        return 0
    dim = int(batch.vectors.shape[1])
    if collection.fingerprint is None:
        connection.execute(
            "UPDATE collections SET fingerprint = ?, model = ?, dim = ? WHERE collection_id = ?",
            (batch.fingerprint, batch.model, dim, batch.collection_id),
        )
        seal(connection, "collections", "collection_id", batch.collection_id)
    elif (collection.fingerprint, collection.dim) != (batch.fingerprint, dim):
        raise FingerprintMismatch(collection.name, pinned=collection.fingerprint, offered=batch.fingerprint)
    done = 0
    little_endian = batch.vectors.astype("<f4", copy=False)
    for position, row_id in enumerate(batch.row_ids):
        waiting = connection.execute(
            "SELECT doc_id FROM documents WHERE row_id = ? AND change IS NULL", (row_id,)
        ).fetchone()
        if waiting is None:
            continue
        old = connection.execute(
            "SELECT row_id FROM documents WHERE collection_id = ? AND doc_id = ? AND change IS NOT NULL",
            (batch.collection_id, waiting[0]),
        ).fetchone()
        if old is not None:
            writes.remove_live(connection, batch.collection_id, old[0])
        coverage = batch.coverages[position] if batch.coverages else None
        connection.execute(
            "UPDATE documents SET change = ?, vector = ?, truncated = ?, unknown = ? WHERE row_id = ?",
            (
                writes.next_number(connection, "change"),
                little_endian[position].tobytes(),
                coverage.truncated if coverage else None,
                coverage.unknown if coverage else None,
                row_id,
            ),
        )
        seal(connection, "documents", "row_id", row_id)
        jobs.release(connection, row_id, jobs.Progress.of(coverage), now, batch.started_at)
        done += 1
    return done


def fail(connection: sqlite3.Connection, row_id: int, error: str, now: float) -> None:
    """Mark a pending document as failed; see ``EmbeddingQueue.fail``."""
    found = connection.execute("SELECT doc_id FROM documents WHERE row_id = ? AND change IS NULL", (row_id,)).fetchone()
    if found is None:
        return
    for (job_id,) in connection.execute("SELECT job_id FROM waiting WHERE row_id = ?", (row_id,)).fetchall():
        (ordinal,) = connection.execute("SELECT failed FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if ordinal < _MAX_KEPT_FAILURES:
            connection.execute(
                "INSERT INTO failures (job_id, ordinal, doc_id, error, checksum) "
                "VALUES (?1, ?2, ?3, ?4, row_checksum(?1, ?2, ?3, ?4))",
                (job_id, ordinal, found[0], error[:_MAX_ERROR_CHARS]),
            )
    jobs.release(connection, row_id, jobs.Progress(processed=1, failed=1), now)
    connection.execute("DELETE FROM documents WHERE row_id = ?", (row_id,))
