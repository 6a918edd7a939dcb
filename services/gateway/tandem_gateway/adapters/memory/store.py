"""Implements the ports of the store in memory."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from tandem_contract.client_api import DEFAULT_COLLECTION
from tandem_gateway.adapters.job_pages import job_document_page, job_page, with_skipped
from tandem_gateway.adapters.limits import MAX_REASON_CHARS, Limits, check_deletions, check_key
from tandem_gateway.adapters.memory import failed, sizes
from tandem_gateway.adapters.memory.content import Collection, Content, Version, follower_of
from tandem_gateway.adapters.memory.embedding_queue import MemoryEmbeddingQueue
from tandem_gateway.adapters.memory.index_feed import MemoryIndexFeed
from tandem_gateway.adapters.memory.reembeddings import MemoryReembeddings
from tandem_gateway.adapters.memory.retention import forget_jobs
from tandem_gateway.errors import TooManyBytes
from tandem_gateway.filters.matching import matches_json
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.documents import DELETED_AT_ONCE, KEY_SECONDS, PAGE_BYTES, PAGE_SCANNED, MetadataChange
from tandem_gateway.ports.embedding_queue import EmbeddingQueue
from tandem_gateway.ports.jobs import CANCELLED_AT_ONCE, JOBS_SCANNED
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
    StoredContent,
)
from tandem_gateway.records.job_documents import (
    DocumentStatus,
    JobDocument,
    JobDocumentPage,
    SkippedDocument,
    coverage_reason,
    embedded_status,
    status_reason,
)
from tandem_gateway.records.sizes import StoredSize
from tandem_gateway.records.sources import SourceDifference, difference


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
        self.queue: EmbeddingQueue = MemoryEmbeddingQueue(
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
    ) -> JobRecord:
        """Store documents and a job; see ``IngestStore.accept``."""
        content = self._content
        with content.lock:
            assert job_id not in content.jobs, f"there is a job {job_id} already"
            accepted = self._accepted_with(key, now) if key is not None else None
            if accepted is not None:
                return accepted
            self._limits.check_pending(sum(len(each.pending) for each in content.collections.values()), len(documents))
            into = content.collections.get(collection)
            if into is None:
                self._limits.check_collections(len(content.collections))
                into = content.create(collection)
            forget_jobs(content, 0.0, self._limits.finished_jobs)
            content.jobs[job_id] = JobRecord(
                job_id, collection, len(documents), 0, 0, 0, now, None, None, skipped=len(skipped)
            )
            if key is not None:
                content.keys[key.key] = job_id, key
            content.count(job_id, 0, now)
            left_out = [
                (each.index, JobDocument(each.doc_id, "skipped", each.message[:MAX_REASON_CHARS])) for each in skipped
            ]
            waiting = [JobDocument(document.doc_id, "pending") for document in documents]
            listed = content.lists[job_id] = with_skipped(waiting, left_out)
            places = [place for place, each in enumerate(listed) if each.status == "pending"]
            for place, document in zip(places, documents, strict=True):
                self._accept(job_id, place, into, document, now)
            content.version += 1
            return content.jobs[job_id]

    def _accepted_with(self, key: IdempotencyKey, now: float) -> JobRecord | None:
        """Return the job that was accepted with a key that has not expired."""
        job_id, given = self._content.keys.get(key.key, ("", key))
        job = self._content.jobs.get(job_id)
        if job is None or job.created_at <= now - KEY_SECONDS:
            return None
        check_key(key, given.request_hash)
        return job

    def _accept(self, job_id: str, place: int, collection: Collection, document: NewDocument, now: float) -> None:
        """Store one document."""
        content, doc_id = self._content, document.doc_id
        content.supersede(collection, doc_id)
        pending, live = collection.pending.get(doc_id), collection.live.get(doc_id)
        if pending is not None:
            if pending.document.content_hash == document.content_hash:
                pending.document = _with_source_of(pending.document, document)
                pending.wait(job_id, place)
                return
            # The newer version makes it obsolete.
            content.end_wait(pending, "replaced", now)
            content.remove(collection, pending)
        elif live is not None and live.document.content_hash == document.content_hash:
            live.document = _with_source_of(live.document, document)
            content.count(job_id, 1, now, coverage=live.coverage(), unchanged=True)
            content.lists[job_id][place] = JobDocument(doc_id, "unchanged", coverage_reason(live.coverage()))
            return
        if live is not None and (live.document.text, live.document.format) == (document.text, document.format):
            # Only the metadata is new: the vectors stay valid.
            content.replace_live(collection, live, self._copy(live, document))
            content.count(job_id, 1, now, coverage=live.coverage())
            status = embedded_status(live.coverage())
            content.lists[job_id][place] = JobDocument(doc_id, status, status_reason(status))
            return
        made = collection.pending[doc_id] = Version(document, [content.new_passage()], number=content.new_version())
        made.wait(job_id, place)

    def _copy(self, version: Version, document: NewDocument) -> Version:
        """Return a version of the same text with the same vectors, under new passage ids."""
        passages = []
        for old in version.passages:
            new = self._content.new_passage(old.start, old.stop)
            new.vector, new.coverage = old.vector, old.coverage
            passages.append(new)
        return Version(document, passages, number=self._content.new_version())

    async def job(self, job_id: str) -> JobRecord | None:
        """Return a job; see ``JobStore.job``."""
        with self._content.lock:
            return self._content.jobs.get(job_id)

    async def jobs(self, before: JobPosition | None, limit: int, condition: JobFilter) -> JobPage:
        """Return a page of jobs; see ``JobStore.jobs``."""
        with self._content.lock:
            there = sorted(self._content.jobs.values(), key=lambda job: job.position, reverse=True)
        found = [dataclasses.replace(job, failures=[]) for job in there if before is None or job.position < before]
        return job_page(found[:JOBS_SCANNED], limit, condition, more=len(found) > JOBS_SCANNED)

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
            there = self._content.jobs
            return [dataclasses.replace(there[job_id], failures=[]) for job_id in set(job_ids) if job_id in there]

    async def unfinished(self, job_ids: Iterable[str]) -> set[str]:
        """Return the jobs that have not ended; see ``JobStore.unfinished``."""
        with self._content.lock:
            there = self._content.jobs
            return {job_id for job_id in job_ids if job_id in there and there[job_id].finished_at is None}

    async def cancel(self, job_id: str, now: float) -> JobRecord | None:
        """Cancel documents of a job; see ``JobStore.cancel``."""
        content = self._content
        with content.lock:
            waiting = [
                (collection, version)
                for collection in content.collections.values()
                for version in collection.pending.values()
                if job_id in version.jobs
            ]
            for collection, version in waiting[:CANCELLED_AT_ONCE]:
                content.end(version, job_id, "cancelled")
                content.count(job_id, version.jobs.pop(job_id), now, cancelled=True)
                if not version.jobs:
                    content.remove(collection, version)
            content.version += 1
            return content.jobs.get(job_id)

    async def retry(self, job_id: str, now: float) -> JobRetry | None:
        """Make the failed documents of a job wait again; see ``JobStore.retry``."""
        with self._content.lock:
            return failed.retry(self._content, job_id, now, self._limits)

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return a document; see ``DocumentStore.document``."""
        with self._content.lock:
            found = self._content.collections.get(collection)
            return None if found is None else found.view(doc_id)

    async def documents(
        self, collection: str, doc_ids: Sequence[str], most_bytes: int, condition: Filter = EVERYTHING
    ) -> list[DocumentView]:
        """Return documents; see ``DocumentStore.documents``."""
        found = [view for doc_id in doc_ids if (view := await self.document(collection, doc_id)) is not None]
        views = [view for view in found if matches_json(condition, view.metadata)]
        if sum(map(_bytes_of, views)) > most_bytes:
            raise TooManyBytes
        return views

    async def waiting(self, collection: str) -> Keys:
        """Return the versions that wait; see ``DocumentStore.waiting``."""
        with self._content.lock:
            found = self._content.collections.get(collection)
            pending = [] if found is None else [each.passages[0].passage_id for each in found.pending.values()]
        return np.array(sorted(pending), np.uint64)

    async def page(self, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage | None:
        """Return documents that match; see ``DocumentStore.page``."""
        with self._content.lock:
            found = self._content.collections.get(collection)
            if found is None:
                return None
            doc_ids = sorted(doc_id for doc_id in {*found.pending, *found.live} if doc_id > after)
            views: list[DocumentView] = []
            size, last = 0, after
            for doc_id in doc_ids[:PAGE_SCANNED]:
                view = found.view(doc_id)
                assert view is not None
                if matches_json(condition, view.metadata):
                    size += _bytes_of(view)
                    if len(views) == limit or (views and size > PAGE_BYTES):
                        return DocumentPage(views, last)
                    views.append(view)
                last = doc_id
            return DocumentPage(views, last if len(doc_ids) > PAGE_SCANNED else None)

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
            there = self._content.collections.get(collection)
            newest = {} if there is None else {**there.live, **there.pending}
            held = {
                doc_id: version.document.source_hash
                for doc_id, version in newest.items()
                if version.document.source == source
            }
        found = difference(listed, held)
        check_deletions(len(found.deleted))
        if there is not None:
            with self._content.lock:
                failed.drop_unlisted(self._content, there, source, listed)
        for doc_id in found.deleted:
            await self.delete(collection, doc_id)
        return found

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document; see ``DocumentStore.delete``."""
        content = self._content
        with content.lock:
            found = content.collections.get(collection)
            if found is None:
                return False
            content.supersede(found, doc_id)
            pending, live = found.pending.get(doc_id), found.live.get(doc_id)
            if pending is not None:
                content.end_wait(pending, "deleted", time.time())
            content.remove(found, pending)
            content.remove(found, live)
            content.version += 1
            return pending is not None or live is not None

    async def delete_some(self, collection: str, doc_ids: Sequence[str], condition: Filter) -> Deletions:
        """Delete documents that match; see ``DocumentStore.delete_some``."""
        done = deleted = 0
        for doc_id in doc_ids:
            if deleted == DELETED_AT_ONCE:
                break
            done += 1
            view = await self.document(collection, doc_id)
            if view is None and condition == EVERYTHING:
                await self.delete(collection, doc_id)
            if view is not None and matches_json(condition, view.metadata):
                deleted += await self.delete(collection, doc_id)
        return Deletions(done, deleted)

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView | None:
        """Change the metadata of a document; see ``DocumentStore.change_metadata``."""
        content = self._content
        with content.lock:
            found = content.collections.get(collection)
            if found is None:
                return None
            versions = [each.get(doc_id) for each in (found.pending, found.live)]
            changes = [(version, change(_stored(version.document))) for version in versions if version is not None]
            for version, document in changes:
                if document.metadata == version.document.metadata:
                    continue
                content.supersede(found, doc_id)
                copy = self._copy(version, _with_source_of(document, version.document))
                if version is found.live.get(doc_id):
                    content.replace_live(found, version, copy)
                else:
                    content.replace_pending(found, version, copy)
                content.version += 1
            return found.view(doc_id)

    async def collections(self) -> list[CollectionRecord]:
        """Return every collection; see ``Catalogue.collections``."""
        with self._content.lock:
            return [each.record() for _, each in sorted(self._content.collections.items())]

    async def put_collection(self, collection: str, change: CollectionChange) -> CollectionRecord:
        """Create or change a collection; see ``Catalogue.put_collection``."""
        content = self._content
        with content.lock:
            found = content.collections.get(collection)
            if found is None:
                self._limits.check_collections(len(content.collections))
                found = content.create(collection)
            change.check(found.record())
            if change.chunking is not msgspec.UNSET and change.chunking != found.chunking:
                found.chunking = change.chunking
                content.catalogue += 1
            if change.language is not msgspec.UNSET and change.language != found.language:
                found.language = change.language
                content.catalogue += 1
            content.version += 1
            return found.record()

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection with its content; see ``Catalogue.delete_collection``."""
        content = self._content
        with content.lock:
            found = content.collections.pop(collection, None)
            if found is None:
                return False
            for version in found.pending.values():
                content.end_wait(version, "deleted", time.time())
            content.failed = {key: each for key, each in content.failed.items() if each.collection is not found}
            content.catalogue += 1
            content.version += 1
            return True

    async def forget_removals(self, space_id: int, upto: int) -> int:
        """Drop the removals that no index needs any more; see ``Retention.forget_removals``."""
        content = self._content
        with content.lock:
            for each in content.collections.values():
                follower = follower_of(space_id)
                if follower in each.followers:
                    each.followers[follower] = max(each.followers[follower], upto)
                    each.removal_floor = min(each.followers.values())
                    dropped = [change for change in each.removals if change <= each.removal_floor]
                    for change in dropped:
                        del each.removals[change]
                    content.version += 1
                    return len(dropped)
            return 0

    async def forget_jobs(self, before: float) -> int:
        """Drop old jobs; see ``Retention.forget_jobs``."""
        with self._content.lock:
            forgotten = forget_jobs(self._content, before, self._limits.finished_jobs)
            self._content.version += 1
            return forgotten

    async def forget_failed(self, before: float) -> int:
        """Drop old failed documents; see ``Retention.forget_failed``."""
        with self._content.lock:
            return failed.forget(self._content, before, self._limits.failed_bytes)


def _stored(document: NewDocument) -> StoredContent:
    return StoredContent(document.doc_id, document.text, document.metadata, document.format)


def _with_source_of(document: NewDocument, other: NewDocument) -> NewDocument:
    return dataclasses.replace(document, source=other.source, source_hash=other.source_hash)


def _bytes_of(view: DocumentView) -> int:
    return len(view.text.encode()) + len(view.metadata.encode())
