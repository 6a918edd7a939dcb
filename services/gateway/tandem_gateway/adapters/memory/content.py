"""The content of a store in memory, and the steps of which its writes consist."""

import dataclasses
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tandem_gateway.adapters.memory.collection import Collection, Passage, Version, follower_of
from tandem_gateway.records.chunking import Span
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.documents import IdempotencyKey, JobRecord, NewDocument
from tandem_gateway.records.job_documents import DocumentStatus, JobDocument, status_reason


@dataclass(frozen=True, slots=True)
class FailedVersion:
    """A version that failed, kept for a retry of its jobs."""

    collection: Collection
    version: Version
    failed_at: float


class Content:
    """Everything that a store holds. Hold ``lock`` during each access."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.store_id = secrets.token_hex(16)
        self.version = 0
        """Number of writes so far."""
        self.catalogue = 0
        """See ``ChangeLog.catalogue``."""
        self.change = 0
        """The highest change number."""
        self.collections: dict[str, Collection] = {}
        self.jobs: dict[str, JobRecord] = {}
        self.lists: dict[str, list[JobDocument]] = {}
        """Job → its documents, in the order of its ingest."""
        self.keys: dict[str, tuple[str, IdempotencyKey]] = {}
        """Idempotency key → the last job that was accepted with it."""
        self.failed: dict[tuple[int, str], FailedVersion] = {}
        """(Collection, document id) → its last version, which failed."""
        self._collections_made = 0
        self._versions_made = 0
        self._spaces_made = 0
        self.passages_made = 0

    def create(self, name: str) -> Collection:
        """Make an empty collection."""
        self._collections_made += 1
        self.catalogue += 1
        made = Collection(self._collections_made, name, self.new_space())
        made.followers[follower_of(made.space_id)] = 0
        self.collections[name] = made
        return made

    def new_space(self) -> int:
        """Return an id that no space ever had."""
        self._spaces_made += 1
        return self._spaces_made

    @property
    def last_version(self) -> int:
        """The number of the version made last; 0 before the first."""
        return self._versions_made

    def new_version(self) -> int:
        """Return a number that no version ever had."""
        self._versions_made += 1
        return self._versions_made

    def failed_version(self, collection: Collection, version: Version) -> FailedVersion | None:
        """Return what is kept of a version; None if it is not kept."""
        found = self.failed.get((collection.collection_id, version.document.doc_id))
        return found if found is not None and found.version is version else None

    def supersede(self, collection: Collection, doc_id: str) -> None:
        """Drop the kept version of a document, because another write of the document follows it."""
        self.failed.pop((collection.collection_id, doc_id), None)

    def new_passage(self, start: int = 0, stop: int | None = None) -> Passage:
        """Return a passage with an id that no passage ever had."""
        self.passages_made += 1
        return Passage(self.passages_made, start, stop)

    def copy(self, version: Version, document: NewDocument) -> Version:
        """Return a version of the same text with the same vectors, under new passage ids."""
        passages = []
        for old in version.passages:
            new = self.new_passage(old.start, old.stop)
            new.vector, new.coverage = old.vector, old.coverage
            passages.append(new)
        return Version(document, passages, number=self.new_version())

    def split(self, version: Version, passage: Passage, spans: Sequence[Span]) -> list[Passage]:
        """Divide a pending version, which is one passage, into several; return them, in order."""
        if len(spans) > 1:
            passage.start, passage.stop = spans[0]
            version.passages += [self.new_passage(*span) for span in spans[1:]]
        return version.passages

    def make_live(self, collection: Collection, version: Version) -> None:
        """Make a version live, of which each passage has a vector; it replaces the older live version."""
        doc_id = version.document.doc_id
        self.remove(collection, collection.live.get(doc_id))
        if collection.pending.get(doc_id) is version:
            del collection.pending[doc_id]
        collection.live[doc_id] = version
        for passage in version.passages:
            passage.change = self.next_change(collection)

    def replace_live(self, collection: Collection, live: Version, copy: Version) -> None:
        """Replace a live version by a copy with other passage ids, which keeps the vectors in both spaces."""
        second = collection.second
        known = [second.vectors.get(each.passage_id) if second is not None else None for each in live.passages]
        self.make_live(collection, copy)
        for passage, vector in zip(copy.passages, known, strict=True):
            if second is not None and vector is not None:
                change = self.next_change(collection)
                second.vectors[passage.passage_id] = dataclasses.replace(vector, change=change)

    def replace_pending(self, collection: Collection, old: Version, new: Version) -> None:
        """Put a pending version in the place of another, whose jobs then wait for it."""
        new.jobs, new.places, new.number = old.jobs, old.places, old.number
        collection.pending[new.document.doc_id] = new
        for passage in old.passages:
            collection.removals[self.next_change(collection)] = passage.passage_id

    def remove(self, collection: Collection, version: Version | None) -> None:
        """Remove a version, if there is one, and record the removal of each passage."""
        if version is None:
            return
        versions = collection.live if collection.live.get(version.document.doc_id) is version else collection.pending
        del versions[version.document.doc_id]
        for passage in version.passages:
            collection.removals[self.next_change(collection)] = passage.passage_id
            if collection.second is not None:
                collection.second.vectors.pop(passage.passage_id, None)

    def end_wait(
        self,
        version: Version,
        status: DocumentStatus,
        now: float,
        *,
        coverage: Coverage | None = None,
        started_at: float | None = None,
    ) -> None:
        """Count a version as processed in every job that waits for it, and record how it ended."""
        for job_id, documents in version.jobs.items():
            self.end(version, job_id, status)
            self.count(job_id, documents, now, coverage=coverage, failed=status == "failed", started_at=started_at)
        version.jobs.clear()

    def end(self, version: Version, job_id: str, status: DocumentStatus, reason: str | None = None) -> None:
        """Record how a version ended that a job waits for."""
        ended = JobDocument(version.document.doc_id, status, reason or status_reason(status))
        for job, place in version.places:
            if job == job_id:
                self.lists[job_id][place] = ended

    def count(
        self,
        job_id: str,
        documents: int,
        now: float,
        *,
        coverage: Coverage | None = None,
        unchanged: bool = False,
        failed: bool = False,
        cancelled: bool = False,
        started_at: float | None = None,
    ) -> None:
        """Count documents of a job as processed. The first start the job, the last finish it.

        Args:
            job_id: of the job.
            documents: how many; 0 finishes a job without documents.
            now: seconds since the epoch.
            coverage: of each of them; None if it is not known.
            unchanged: whether they had the same content already.
            failed: whether they failed.
            cancelled: whether they were cancelled.
            started_at: when their embedding began, in seconds since the epoch; None if it did not begin.
        """
        job = self.jobs[job_id]
        coverage = coverage or WHOLE
        if started_at is None and documents:
            started_at = now
        processed = job.processed + documents
        self.jobs[job_id] = dataclasses.replace(
            job,
            processed=processed,
            unchanged=job.unchanged + documents * unchanged,
            failed=job.failed + documents * failed,
            cancelled=job.cancelled + documents * cancelled,
            truncated=job.truncated + documents * coverage.truncated,
            unreadable=job.unreadable + documents * coverage.unreadable,
            started_at=started_at if job.started_at is None else job.started_at,
            finished_at=now if processed == job.total and job.finished_at is None else job.finished_at,
        )

    def next_change(self, collection: Collection) -> int:
        """Return the next change number, for a change of a collection."""
        self.change += 1
        collection.last_change = self.change
        return self.change
