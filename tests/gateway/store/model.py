"""The expected content of the store, as plain dictionaries: the model of the stateful test."""

from collections import Counter
from dataclasses import dataclass, field

Key = tuple[str, str]
"""(collection, document id)."""
Content = tuple[str, str]
"""(text, metadata)."""


@dataclass
class Job:
    total: int
    processed: int = 0
    unchanged: int = 0
    failed: int = 0
    cancelled: int = 0


@dataclass
class Pending:
    content: Content
    jobs: Counter[str] = field(default_factory=Counter)
    number: int = 0
    failed_jobs: Counter[str] = field(default_factory=Counter)
    """Jobs for which this version failed, and which have not retried it."""


@dataclass
class Model:
    """Live and pending documents, and jobs; ``pending`` is in the order in which the rows were made."""

    live: dict[Key, Content] = field(default_factory=dict)
    pending: dict[Key, Pending] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    collections: set[str] = field(default_factory=lambda: {"default"})
    failed_versions: dict[Key, Pending] = field(default_factory=dict)
    embedded_versions: dict[Key, Pending] = field(default_factory=dict)
    """Live documents that have failed before."""
    versions: int = 0

    def accept(self, job_id: str, collection: str, documents: list[tuple[str, Content]]) -> None:
        self.collections.add(collection)
        job = self.jobs[job_id] = Job(len(documents))
        for doc_id, content in documents:
            key = (collection, doc_id)
            self.failed_versions.pop(key, None)
            waiting, live = self.pending.get(key), self.live.get(key)
            if waiting is not None and waiting.content == content:
                waiting.jobs[job_id] += 1
            elif waiting is None and live == content:
                job.processed += 1
                job.unchanged += 1
            else:
                self._release(key)
                if live is not None and live[0] == content[0]:
                    self.live[key] = content
                    self.embedded_versions.pop(key, None)
                    job.processed += 1
                else:
                    self.versions += 1
                    self.pending[key] = Pending(content, Counter({job_id: 1}), self.versions)

    def next_batch(self, collection: str, limit: int) -> list[Key]:
        """The documents of a collection that are embedded next: its oldest pending ones."""
        return [key for key in self.pending if key[0] == collection][:limit]

    def embedded(self, keys: list[Key]) -> None:
        for key in keys:
            self.live[key] = self.pending[key].content
            self.embedded_versions[key] = self.pending[key]
            self._release(key)

    def failed(self, key: Key) -> None:
        version = self.pending[key]
        version.failed_jobs.update(version.jobs)
        self.failed_versions[key] = version
        self._release(key, failed=True)
        version.jobs = Counter()

    def retry(self, job_id: str) -> bool:
        """Retry a job; return whether it can be retried."""
        job = self.jobs[job_id]
        found = [
            (versions, key, version)
            for versions in (self.failed_versions, self.pending, self.embedded_versions)
            for key, version in versions.items()
            if version.failed_jobs[job_id]
        ]
        if job.processed < job.total or not found:
            return False
        for versions, key, version in found:
            documents = version.failed_jobs.pop(job_id)
            job.failed -= documents
            if versions is self.embedded_versions:
                continue
            job.processed -= documents
            version.jobs[job_id] = documents
            if versions is self.failed_versions:
                del self.failed_versions[key]
                self.pending[key] = version
                self.pending = dict(sorted(self.pending.items(), key=lambda item: item[1].number))
        return True

    def cancel(self, job_id: str) -> None:
        for key, waiting in list(self.pending.items()):
            documents = waiting.jobs.pop(job_id, 0)
            self.jobs[job_id].processed += documents
            self.jobs[job_id].cancelled += documents
            if not waiting.jobs:
                del self.pending[key]

    def change_metadata(self, key: Key, metadata: str) -> bool:
        if key in self.pending and self.pending[key].content[1] != metadata:
            self.pending[key].content = self.pending[key].content[0], metadata
            self.pending[key].failed_jobs.clear()
            self.failed_versions.pop(key, None)
        if key in self.live and self.live[key][1] != metadata:
            self.live[key] = self.live[key][0], metadata
            self.embedded_versions.pop(key, None)
            self.failed_versions.pop(key, None)
        return key in self.pending or key in self.live

    def delete(self, key: Key) -> bool:
        there = key in self.pending or key in self.live
        self._release(key)
        self.live.pop(key, None)
        self.embedded_versions.pop(key, None)
        self.failed_versions.pop(key, None)
        return there

    def delete_collection(self, collection: str) -> bool:
        for key in {*self.pending, *self.live, *self.failed_versions}:
            if key[0] == collection:
                self.delete(key)
        there = collection in self.collections
        self.collections.discard(collection)
        return there

    def counts(self) -> dict[str, tuple[int, int]]:
        """Collection → (live, pending)."""
        return {
            name: (sum(key[0] == name for key in self.live), sum(key[0] == name for key in self.pending))
            for name in self.collections
        }

    def live_in(self, collection: str) -> dict[str, Content]:
        return {key[1]: content for key, content in self.live.items() if key[0] == collection}

    def _release(self, key: Key, failed: bool = False) -> None:
        waiting = self.pending.pop(key, None)
        if waiting is None:
            return
        for job_id, documents in waiting.jobs.items():
            self.jobs[job_id].processed += documents
            self.jobs[job_id].failed += documents if failed else 0
