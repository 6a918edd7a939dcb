"""Implements the ports of the store on one SQLite file, with a writer thread and a reader thread."""

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite import (
    clean_stop,
    commit_watermark,
    counters,
    failed_versions,
    job_documents,
    listing,
    metadata_changes,
    reads,
    retention,
    scrub,
    sizes,
    sources,
    writes,
)
from tandem_gateway.adapters.sqlite.checkpoint_schedule import Delays
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.embedding_queue import SqliteEmbeddingQueue
from tandem_gateway.adapters.sqlite.log_truncation import LogTruncation
from tandem_gateway.adapters.sqlite.presence import Presence
from tandem_gateway.adapters.sqlite.reader import Reader
from tandem_gateway.adapters.sqlite.reembeddings import SqliteReembeddings
from tandem_gateway.adapters.sqlite.writer import Writer, WriterEvents
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
from tandem_gateway.records.scrubbing import ScrubPage
from tandem_gateway.records.sizes import StoredSize
from tandem_gateway.records.sources import SourceDifference

log = logging.getLogger(__name__)

R = TypeVar("R")

# Number of accepted jobs between two cleanups, so the store may exceed the limit by this many. Counting 100,000 jobs
# takes a millisecond. As many documents count as another job, because the lists of documents have a limit too.
_JOBS_BETWEEN_CLEANUPS = 100
_DOCUMENTS_LIKE_A_JOB = 100
_DELAYS = Delays()
_NO_EVENTS = WriterEvents()


class SqliteStore:
    """Implements the store's ports: ``IngestStore``, ``DocumentStore``, ``Catalogue``, ``Retention`` and others.

    The writer's thread runs the writes, and one other thread the reads.
    """

    def __init__(
        self,
        data_dir: Path,
        connection: sqlite3.Connection,
        *,
        limits: Limits,
        max_queued_writes: int,
        write_timeout: float,
        batch_bytes: int,
        delays: Delays = _DELAYS,
        events: WriterEvents = _NO_EVENTS,
    ) -> None:
        """Take over the connection that ``open_checked`` returned.

        Args:
            data_dir: the data directory.
            connection: writable; the writer's thread owns it from now on.
            limits: maximum sizes of the store.
            max_queued_writes: maximum length of the write queue; over it, a call raises Overloaded.
            write_timeout: seconds after which a caller stops waiting for its write.
            batch_bytes: maximum UTF-8 bytes of the texts that a claim of ``queue`` returns; a longer text comes alone.
            delays: between a deletion and the checkpoint that takes the deleted text out of the log.
            events: callbacks.
        """
        self._path = data_dir / FILE_NAME
        self._limits = limits
        self._write_timeout = write_timeout
        self._accepted = 0
        self._scrubbed = scrub.ScrubPosition()
        self._damaged = False
        """Whether a read or the scrub has found damage: the next start has to check every row."""
        presence = Presence(self._path)
        self._reader = Reader(self._path, presence, self._found_damage)
        high_water_mark = commit_watermark.CommitWatermark(data_dir / commit_watermark.FILE_NAME)
        high_water_mark.write(counters.value(connection, "commit"))
        self._writer = Writer(
            connection,
            self._path,
            high_water_mark,
            presence,
            LogTruncation(connection, self._path, delays, events.log_truncated),
            max_queued=max_queued_writes,
            on_commit=events.committed,
        )
        self.queue = SqliteEmbeddingQueue(
            self._read,
            self._write,
            batch_bytes=batch_bytes,
            failed_bytes=limits.failed_bytes,
            on_damage=self._found_damage,
        )
        """The store's pending documents, for the embedding worker."""
        self.reembeddings = SqliteReembeddings(self._read, self._write, batch_bytes=batch_bytes)
        """The second spaces of the collections."""

    def _found_damage(self) -> None:
        self._damaged = True

    @property
    def commits(self) -> int:
        """Number that grows with each commit, and is odd while one is under way; any thread may read it."""
        return self._writer.commits

    @property
    def write_failure(self) -> str | None:
        """Why the last write failed; see ``StoreHealth.write_failure``."""
        return self._writer.failure

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
        accepted = (0, 0, 0)

        def accept(connection: sqlite3.Connection) -> JobRecord:
            nonlocal accepted
            self._accepted += 1 + len(documents) // _DOCUMENTS_LIKE_A_JOB
            if self._accepted >= _JOBS_BETWEEN_CLEANUPS:
                self._accepted = 0
                retention.forget_jobs(connection, 0.0, self._limits.finished_jobs)
            before = counters.value(connection, "document")
            job = writes.accept(connection, job_id, collection, documents, now, self._limits, key=key, skipped=skipped)
            record = reads.collection_by_name(connection, collection)
            if record is not None:
                accepted = record.collection_id, before + 1, counters.value(connection, "document")
            return job

        job = await self._write(accept)
        collection_id, first, last = accepted
        if owner is not None and last >= first:
            self.queue.note_owner(collection_id, first, last, owner)
        return job

    async def synchronize(self, collection: str, source: str, listed: Mapping[str, str]) -> SourceDifference:
        """Delete what a source has no more; see ``DocumentStore.synchronize``."""
        return await self._write(lambda c: sources.synchronize(c, collection, source, listed, time.time()))

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document; see ``DocumentStore.delete``."""
        return await self._write(lambda c: writes.delete(c, collection, doc_id, time.time()))

    async def delete_some(self, collection: str, doc_ids: Sequence[str], condition: Filter) -> Deletions:
        """Delete documents that match; see ``DocumentStore.delete_some``."""
        return await self._write(lambda c: writes.delete_some(c, collection, doc_ids, condition, time.time()))

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView | None:
        """Change the metadata of a document; see ``DocumentStore.change_metadata``."""
        if not await self._read(lambda c: metadata_changes.is_needed(c, collection, doc_id, change)):
            return await self.document(collection, doc_id)
        return await self._write(lambda c: metadata_changes.apply(c, collection, doc_id, change))

    async def put_collection(self, collection: str, change: CollectionChange) -> CollectionRecord:
        """Create or change a collection; see ``Catalogue.put_collection``."""
        return await self._write(lambda c: writes.put_collection(c, collection, change, self._limits))

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection; see ``Catalogue.delete_collection``."""
        return await self._write(lambda c: writes.delete_collection(c, collection, time.time()))

    async def forget_jobs(self, before: float) -> int:
        """Drop old jobs; see ``Retention.forget_jobs``."""
        forgotten = 0
        while True:
            last = await self._write(lambda c: retention.forget_jobs(c, before, self._limits.finished_jobs))
            forgotten += last.jobs
            if not last.more:
                return forgotten

    async def forget_failed(self, before: float) -> int:
        """Drop old failed documents; see ``Retention.forget_failed``."""
        forgotten = 0
        while True:
            dropped, more = await self._write(lambda c: failed_versions.forget(c, before, self._limits.failed_bytes))
            forgotten += dropped
            if not more:
                return forgotten

    async def forget_removals(self, space_id: int, upto: int) -> int:
        """Drop the removals that no index needs any more; see ``Retention.forget_removals``."""
        return await self._write(lambda c: retention.forget_removals(c, space_id, upto))

    def record_positions(self, follower: str, positions: Mapping[int, int]) -> Future[int]:
        """Record a follower's positions; see ``FollowerPositions.record_positions``."""
        return self._writer.submit(lambda c: retention.record_positions(c, follower, positions))

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
        return await self._read(lambda c: job_documents.page(c, job_id, first, limit, status))

    async def progress(self, job_ids: Collection[str]) -> list[JobRecord]:
        """Return jobs; see ``JobStore.progress``."""
        return await self._read(lambda c: reads.jobs_by_id(c, job_ids))

    async def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return the jobs that have not ended; see ``JobStore.unfinished``."""
        return await self._read(lambda c: reads.unfinished_jobs(c, job_ids))

    async def cancel(self, job_id: str, now: float) -> JobRecord | None:
        """Cancel documents of a job; see ``JobStore.cancel``."""
        return await self._write(lambda c: writes.cancel(c, job_id, now))

    async def retry(self, job_id: str, now: float) -> JobRetry | None:
        """Make the failed documents of a job wait again; see ``JobStore.retry``."""
        return await self._write(lambda c: failed_versions.retry(c, job_id, now, self._limits))

    async def collections(self) -> list[CollectionRecord]:
        """Return every collection; see ``Catalogue.collections``."""
        return await self._read(reads.collections)

    async def stored_size(self, collection: str, added: int, removed: int) -> StoredSize | None:
        """Return the size of a collection; see ``StoredSizes.stored_size``."""
        return await self._read(lambda c: sizes.stored_size(c, collection, added, removed))

    def close(self) -> None:
        """Finish the queued writes and close the file; blocks."""
        self._reader.close()
        self._writer.close()

    def record_clean_stop(self) -> None:
        """Record that the closed store is sound, so that the next start need not read all of it; blocks.

        Nothing is recorded if damage was found since the start.
        """
        if self._damaged:
            return
        commit = commit_watermark.read_mark(self._path.with_name(commit_watermark.FILE_NAME))
        if commit is None:
            return
        try:
            clean_stop.write(self._path, commit)
        except OSError as error:
            log.warning("the clean stop could not be recorded", extra={"error": str(error)})

    async def scrub(self, limit: int) -> ScrubPage:
        """Compare rows with their checksums; see ``Scrubbing.scrub``."""
        page = await self._read(lambda c: scrub.scrub_page(c, self._scrubbed, limit))
        self._damaged = self._damaged or bool(page.damaged)
        return page

    async def _write(self, statement: Callable[[sqlite3.Connection], R]) -> R:
        return await self._writer.run(statement, self._write_timeout)

    async def _read(self, statement: Callable[[sqlite3.Connection], R]) -> R:
        return await self._reader.run(statement)
