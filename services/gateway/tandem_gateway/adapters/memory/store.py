"""Implements the ports of the store in memory: each method holds the lock of the content for its step."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from tandem_contract.client_api import DEFAULT_COLLECTION
from tandem_gateway.adapters.job_pages import job_document_page
from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.memory import catalogue, changes, failed, ingest, jobs, listing, retention, sizes
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.adapters.memory.embedding_queue import MemoryEmbeddingQueue
from tandem_gateway.adapters.memory.index_feed import MemoryIndexFeed
from tandem_gateway.adapters.memory.reembeddings import MemoryReembeddings
from tandem_gateway.adapters.sole_position import SolePosition
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.documents import DELETED_AT_ONCE, PAGE_SCANNED, MetadataChange
from tandem_gateway.ports.reembedding import Reembeddings
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
from tandem_gateway.records.job_documents import (
    DocumentStatus,
    JobDocumentPage,
    SkippedDocument,
)
from tandem_gateway.records.sizes import StoredSize
from tandem_gateway.records.sources import SourceDifference


class MemoryStore:
    """Implements ``IngestStore``, ``DocumentStore``, ``Catalogue`` and ``Retention``."""

    def __init__(self, *, limits: Limits, batch_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make a store with the default collection, which is empty.

        Args:
            limits: maximum sizes of the store.
            batch_bytes: maximum UTF-8 bytes of the texts that a claim of ``queue`` returns; a longer text comes alone.
            clock: of the queue's leases; returns seconds and never goes back.
        """
        self._limits = limits
        self._content = Content()
        self._content.create(DEFAULT_COLLECTION)
        self.position = SolePosition(self._content.store_id)
        """The position of the store."""
        self.queue = MemoryEmbeddingQueue(
            self._content, batch_bytes=batch_bytes, failed_bytes=limits.failed_bytes, clock=clock
        )
        """The store's pending documents, for the embedding worker."""
        self.reembeddings: Reembeddings = MemoryReembeddings(self._content, batch_bytes=batch_bytes)
        """The second spaces of the collections."""

    def open_feed(self) -> IndexFeed:
        """Return a feed for the thread that owns the indexes."""
        return MemoryIndexFeed(self._content)

    async def stored_size(self, collection: str, added: int, removed: int) -> StoredSize | None:
        """Return the size of a collection; see ``StoredSizes.stored_size``."""
        return sizes.stored_size(self._content, collection, added, removed)

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
        with self._content.lock:
            before = self._content.last_version
            job = ingest.accept(
                self._content, job_id, collection, documents, now, self._limits, key=key, skipped=skipped
            )
            last = self._content.last_version
            if owner is not None and last > before:
                self.queue.note_owner(self._content.collections[collection].collection_id, before + 1, last, owner)
            return job

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a job; see ``JobStore.job``."""
        with self._content.lock:
            return self._content.jobs.get(job_id)

    async def jobs(self, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
        """Return a page of jobs; see ``JobStore.jobs``."""
        with self._content.lock:
            return jobs.page(self._content, before, limit, condition)

    async def job_documents(
        self, job_id: str, first: int, limit: int, status: DocumentStatus | None
    ) -> JobDocumentPage | None:
        """Return documents of a job; see ``JobStore.job_documents``."""
        with self._content.lock:
            found = self._content.lists.get(job_id)
            return None if found is None else job_document_page(found[first:], first, limit, status)

    async def progress(self, job_ids: Iterable[str]) -> list[JobRecord]:
        """Return jobs; see ``JobStore.progress``."""
        with self._content.lock:
            return jobs.progress(self._content, job_ids)

    async def unfinished(self, job_ids: Iterable[str]) -> set[str]:
        """Return the jobs that have not ended; see ``JobStore.unfinished``."""
        with self._content.lock:
            return jobs.unfinished(self._content, job_ids)

    async def cancel(self, job_id: str, now: float) -> JobRecord | None:
        """Cancel documents of a job; see ``JobStore.cancel``."""
        with self._content.lock:
            return jobs.cancel(self._content, job_id, now)

    async def retry(self, job_id: str, now: float) -> JobRetry | None:
        """Make the failed documents of a job wait again; see ``JobStore.retry``."""
        with self._content.lock:
            return failed.retry(self._content, job_id, now, self._limits)

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return a document; see ``DocumentStore.document``."""
        with self._content.lock:
            return listing.document(self._content, collection, doc_id)

    async def documents(
        self, collection: str, doc_ids: Sequence[str], most_bytes: int, condition: Filter = EVERYTHING
    ) -> list[DocumentView]:
        """Return documents; see ``DocumentStore.documents``."""
        with self._content.lock:
            return listing.documents(self._content, collection, doc_ids, most_bytes, condition)

    async def waiting(self, collection: str) -> Keys:
        """Return the versions that wait; see ``DocumentStore.waiting``."""
        with self._content.lock:
            return listing.waiting(self._content, collection)

    async def page(self, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage | None:
        """Return documents that match; see ``DocumentStore.page``."""
        with self._content.lock:
            return listing.page(self._content, collection, after, limit, condition)

    async def metadata(self, collection: str, after: str) -> MetadataPage | None:
        """Return the metadata of documents; see ``DocumentStore.metadata``."""
        found = await self.page(collection, after, PAGE_SCANNED, EVERYTHING)
        return None if found is None else MetadataPage([view.metadata for view in found.documents], found.after)

    async def matching(self, collection: str, after: str, condition: Filter) -> IdPage:
        """Return the ids of documents that match; see ``DocumentStore.matching``."""
        found = await self.page(collection, after, DELETED_AT_ONCE, condition)
        return IdPage([], None) if found is None else IdPage([view.doc_id for view in found.documents], found.after)

    async def synchronize(self, collection: str, source: str, listed: Mapping[str, str]) -> SourceDifference:
        """Delete what a source has no more; see ``DocumentStore.synchronize``."""
        with self._content.lock:
            return changes.synchronize(self._content, collection, source, listed)

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document; see ``DocumentStore.delete``."""
        with self._content.lock:
            return changes.delete(self._content, collection, doc_id)

    async def delete_some(self, collection: str, doc_ids: Sequence[str], condition: Filter) -> Deletions:
        """Delete documents that match; see ``DocumentStore.delete_some``."""
        with self._content.lock:
            return changes.delete_some(self._content, collection, doc_ids, condition)

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView | None:
        """Change the metadata of a document; see ``DocumentStore.change_metadata``."""
        with self._content.lock:
            return changes.change_metadata(self._content, collection, doc_id, change)

    async def collections(self) -> list[CollectionRecord]:
        """Return every collection; see ``Catalogue.collections``."""
        with self._content.lock:
            return [each.record() for _, each in sorted(self._content.collections.items())]

    async def put_collection(self, collection: str, change: CollectionChange) -> CollectionRecord:
        """Create or change a collection; see ``Catalogue.put_collection``."""
        with self._content.lock:
            return catalogue.put_collection(self._content, collection, change, self._limits)

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection with its content; see ``Catalogue.delete_collection``."""
        with self._content.lock:
            return catalogue.delete_collection(self._content, collection)

    async def forget_removals(self, space_id: int, upto: int) -> int:
        """Drop the removals that no index needs any more; see ``Retention.forget_removals``."""
        with self._content.lock:
            return retention.forget_removals(self._content, space_id, upto)

    async def forget_jobs(self, before: float) -> int:
        """Drop old jobs; see ``Retention.forget_jobs``."""
        with self._content.lock:
            forgotten = retention.forget_jobs(self._content, before, self._limits.finished_jobs)
            self._content.version += 1
            return forgotten

    async def forget_failed(self, before: float) -> int:
        """Drop old failed documents; see ``Retention.forget_failed``."""
        with self._content.lock:
            return failed.forget(self._content, before, self._limits.failed_bytes)
