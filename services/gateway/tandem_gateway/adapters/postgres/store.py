"""Implements the ports of the store on PostgreSQL. Any number of gateways may use one database."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.postgres import job_lists, listing, reads, retention, sizes, writes
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.embedding_queue import PostgresEmbeddingQueue
from tandem_gateway.adapters.postgres.lanes import Lane, LaneLimits
from tandem_gateway.adapters.postgres.position import PostgresPosition
from tandem_gateway.adapters.postgres.position_check import PositionCheck, last_commit
from tandem_gateway.adapters.postgres.reembeddings import PostgresReembeddings
from tandem_gateway.adapters.postgres.shared_state import PostgresSharedState
from tandem_gateway.adapters.postgres.snapshot import one_state
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.documents import MetadataChange
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import (
    CollectionChange,
    CollectionRecord,
    Deletions,
    DocumentPage,
    DocumentView,
    IdempotencyKey,
    IdPage,
    JobFilter,
    JobPage,
    JobPosition,
    JobRecord,
    JobRetry,
    MetadataPage,
    NewDocument,
)
from tandem_gateway.records.job_documents import DocumentStatus, JobDocumentPage, SkippedDocument
from tandem_gateway.records.sizes import StoredSize
from tandem_gateway.records.sources import SourceDifference

R = TypeVar("R")

_WRITERS: Final = 4
# With the connection of ``PositionCheck``, reads take four.
_READERS: Final = 3
# Number of accepted jobs between two cleanups; as many documents count as another job.
_JOBS_BETWEEN_CLEANUPS: Final = 100
_DOCUMENTS_LIKE_A_JOB: Final = 100


@dataclass(frozen=True, slots=True)
class StoreEvents:
    """Callbacks, called in the threads of the store."""

    written: Callable[[float], None] = lambda seconds: None
    """Called after each write with the seconds that it took."""


_NO_EVENTS: Final = StoreEvents()


class PostgresStore:
    """Implements the store's ports: ``IngestStore``, ``DocumentStore``, ``Catalogue``, ``Retention`` and others.

    The database must have the schema of this release; see ``migrations.migrate``.
    """

    def __init__(
        self,
        url: str,
        *,
        limits: Limits,
        max_queued: int,
        write_timeout: float,
        batch_bytes: int,
        prepared: bool = True,
        clock: Callable[[], float] | None = None,
        events: StoreEvents = _NO_EVENTS,
    ) -> None:
        """Make the store; it connects with the first call.

        Args:
            url: a connection string of libpq.
            limits: maximum sizes of the store.
            max_queued: maximum number of reads that wait, and of writes; over it, a call raises Overloaded.
            write_timeout: seconds after which a caller stops waiting for its read or write.
            batch_bytes: maximum UTF-8 bytes of the texts that a claim of ``queue`` returns; a longer text comes alone.
            prepared: whether statements are prepared; false for PgBouncer before 1.21 in its transaction mode.
            clock: of the leases, in seconds; None for the database's.
            events: callbacks.
        """
        self._limits = limits
        self.removals_kept = 0.0
        """Seconds that removals stay, even if every follower has them."""
        self._accepted = 0

        self.check = PositionCheck(last_commit(url, prepared=prepared), max_waiting=max_queued)
        """Asks for the last commit; the feeds of the indexes tell it what they have seen."""
        self.position = PostgresPosition(self.check.ask)
        """The position that this gateway knows of the store."""

        def lane(name: str, threads: int, done: Callable[[float], None] = lambda seconds: None) -> Lane:
            limits = LaneLimits(threads=threads, max_queued=max_queued, timeout=write_timeout)
            return Lane(url, name, limits, prepared=prepared, on_done=done, after=self.position.note_from)

        self._reading = lane("store-reader", _READERS)
        self._writing = lane("store-writer", _WRITERS, events.written)
        self._cleaning = lane("store-cleaner", 1)
        self._purges = ThreadPoolExecutor(1, thread_name_prefix="store-purge")
        self._closed = False
        self.queue = PostgresEmbeddingQueue(
            self._writing, batch_bytes=batch_bytes, failed_bytes=limits.failed_bytes, clock=clock
        )
        """The store's pending documents, for the embedding worker."""
        self.reembeddings = PostgresReembeddings(self._reading, self._writing, batch_bytes=batch_bytes)
        """The second spaces of the collections."""
        self.shared = PostgresSharedState(self._cleaning)
        """What the gateways of the store tell each other."""

    @property
    def write_failure(self) -> str | None:
        """Why the last write failed; see ``StoreHealth.write_failure``."""
        return self._writing.failure

    def look(self) -> None:
        """Note the store's position; blocks."""
        self._reading.call(lambda c: None, repeatable=True)

    async def accept(
        self,
        job_id: str,
        collection: str,
        documents: Sequence[NewDocument],
        now: float,
        key: IdempotencyKey | None = None,
        skipped: Sequence[SkippedDocument] = (),
        owner: str | None = None,
    ) -> JobRecord:
        """Store documents and a job; see ``IngestStore.accept``."""
        ingest = writes.Ingest(job_id, collection, documents, now, key, skipped, owner)
        self._accepted += 1 + len(documents) // _DOCUMENTS_LIKE_A_JOB
        if self._accepted >= _JOBS_BETWEEN_CLEANUPS:
            self._accepted = 0
            await self._cleaning.run(
                lambda c: retention.forget_jobs(c, 0.0, self._limits.finished_jobs), repeatable=True
            )
        return await self._writing.run(lambda c: writes.accept(c, ingest, self._limits), repeatable=True)

    async def synchronize(self, collection: str, source: str, listed: Mapping[str, str]) -> SourceDifference:
        """Delete what a source has no more; see ``DocumentStore.synchronize``."""
        return await self._write(lambda c: writes.synchronize(c, collection, source, listed, time.time()))

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document; see ``DocumentStore.delete``."""
        return await self._write(lambda c: writes.delete(c, collection, doc_id, time.time()))

    async def delete_some(self, collection: str, doc_ids: Sequence[str], condition: Filter) -> Deletions:
        """Delete documents that match; see ``DocumentStore.delete_some``."""
        return await self._write(lambda c: writes.delete_some(c, collection, doc_ids, condition, time.time()))

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView | None:
        """Change the metadata of a document; see ``DocumentStore.change_metadata``."""
        return await self._write(lambda c: writes.change_metadata(c, collection, doc_id, change))

    async def put_collection(self, collection: str, change: CollectionChange) -> CollectionRecord:
        """Create or change a collection; see ``Catalogue.put_collection``."""
        return await self._write(lambda c: writes.put_collection(c, collection, change, self._limits))

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection; see ``Catalogue.delete_collection``."""
        deleted = await self._write(lambda c: writes.delete_collection(c, collection, time.time()))
        if deleted:
            self._purges.submit(self._purge)
        return deleted

    async def forget_jobs(self, before: float) -> int:
        """Drop old jobs; see ``Retention.forget_jobs``. Also goes on with the removal of what was deleted."""
        self._purges.submit(self._purge)
        forgotten = 0
        while True:
            last = await self._cleaning.run(
                lambda c: retention.forget_jobs(c, before, self._limits.finished_jobs), repeatable=True
            )
            forgotten += last.jobs
            if not last.more:
                return forgotten

    async def forget_failed(self, before: float) -> int:
        """Drop old failed documents; see ``Retention.forget_failed``."""
        forgotten = 0
        while True:
            dropped, more = await self._cleaning.run(
                lambda c: retention.forget_failed(c, before, self._limits.failed_bytes), repeatable=True
            )
            forgotten += dropped
            if not more:
                return forgotten

    async def forget_removals(self, space_id: int, upto: int) -> int:
        """Drop the removals that no index needs any more; see ``Retention.forget_removals``."""
        return await self._write(lambda c: retention.forget_removals(c, space_id, upto, self.removals_kept))

    def record_positions(self, follower: str, positions: Mapping[int, int]) -> Future[int]:
        """Record a follower's positions; see ``FollowerPositions.record_positions``."""
        return self._cleaning.submit(
            lambda c: retention.record_positions(c, follower, positions, self.removals_kept), repeatable=True
        )

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return a document; see ``DocumentStore.document``."""
        return await self._read(lambda c: reads.document(c, collection, doc_id))

    async def documents(
        self, collection: str, doc_ids: Sequence[str], most_bytes: int, condition: Filter = EVERYTHING
    ) -> list[DocumentView]:
        """Return documents; see ``DocumentStore.documents``."""
        return await self._read(lambda c: listing.documents(c, collection, doc_ids, most_bytes, condition))

    async def waiting(self, collection: str) -> Keys:
        """Return the versions that wait; see ``DocumentStore.waiting``."""
        return await self._read(lambda c: reads.waiting(c, collection))

    async def page(self, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage | None:
        """Return documents that match; see ``DocumentStore.page``."""
        return await self._read(lambda c: listing.page(c, collection, after, limit, condition))

    async def metadata(self, collection: str, after: str) -> MetadataPage | None:
        """Return the metadata of documents; see ``DocumentStore.metadata``."""
        return await self._read(lambda c: listing.metadata(c, collection, after))

    async def matching(self, collection: str, after: str, condition: Filter) -> IdPage:
        """Return the ids of documents that match; see ``DocumentStore.matching``."""
        return await self._read(lambda c: listing.matching(c, collection, after, condition))

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a job; see ``JobStore.job``."""
        return await self._read(lambda c: reads.job(c, job_id))

    async def jobs(self, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
        """Return a page of jobs; see ``JobStore.jobs``."""
        return await self._read(lambda c: reads.jobs(c, before, limit, condition))

    async def job_documents(
        self, job_id: str, first: int, limit: int, status: DocumentStatus | None
    ) -> JobDocumentPage | None:
        """Return documents of a job; see ``JobStore.job_documents``."""
        return await self._read(lambda c: job_lists.page(c, job_id, first, limit, status))

    async def progress(self, job_ids: Collection[str]) -> list[JobRecord]:
        """Return jobs; see ``JobStore.progress``."""
        return await self._reading.run(lambda c: reads.jobs_by_id(c, job_ids), repeatable=True)

    async def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return the jobs that have not ended; see ``JobStore.unfinished``."""
        return await self._reading.run(lambda c: reads.unfinished_jobs(c, job_ids), repeatable=True)

    async def cancel(self, job_id: str, now: float) -> JobRecord | None:
        """Cancel documents of a job; see ``JobStore.cancel``."""
        return await self._writing.run(lambda c: writes.cancel(c, job_id, now), repeatable=True)

    async def retry(self, job_id: str, now: float) -> JobRetry | None:
        """Make the failed documents of a job wait again; see ``JobStore.retry``."""
        return await self._write(lambda c: writes.retry(c, job_id, now, self._limits))

    async def collections(self) -> list[CollectionRecord]:
        """Return every collection; see ``Catalogue.collections``."""
        return await self._reading.run(reads.collections, repeatable=True)

    async def stored_size(self, collection: str, added: int, removed: int) -> StoredSize | None:
        """Return the size of a collection; see ``StoredSizes.stored_size``."""
        return await self._read(lambda c: sizes.stored_size(c, collection, added, removed))

    def close(self) -> None:
        """Finish the queued reads and writes, and close the connections; blocks."""
        self._closed = True
        self._purges.shutdown()
        self.check.close()
        for lane in (self._reading, self._writing, self._cleaning):
            lane.close()

    async def _read(self, read: Callable[[Connection], R]) -> R:
        return await self._reading.run(one_state(read), repeatable=True)

    async def _write(self, write: Callable[[Connection], R]) -> R:
        return await self._writing.run(write, repeatable=False)

    def _purge(self) -> None:
        """Remove the content of deleted collections and dropped spaces, step by step; another gateway may take part."""
        while not self._closed and self._cleaning.call(lambda c: writes.purge(c, time.time()), repeatable=True):
            pass
