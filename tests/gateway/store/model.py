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


@dataclass
class Model:
    """Live and pending documents, and jobs; ``pending`` is in the order in which the rows were made."""

    live: dict[Key, Content] = field(default_factory=dict)
    pending: dict[Key, Pending] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    collections: set[str] = field(default_factory=lambda: {"default"})

    def accept(self, job_id: str, collection: str, documents: list[tuple[str, Content]]) -> None:
        self.collections.add(collection)
        job = self.jobs[job_id] = Job(len(documents))
        for doc_id, content in documents:
            key = (collection, doc_id)
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
                    job.processed += 1
                else:
                    self.pending[key] = Pending(content, Counter({job_id: 1}))

    def next_batch(self, collection: str, limit: int) -> list[Key]:
        """The documents of a collection that are embedded next: its oldest pending ones."""
        return [key for key in self.pending if key[0] == collection][:limit]

    def embedded(self, keys: list[Key]) -> None:
        for key in keys:
            self.live[key] = self.pending[key].content
            self._release(key)

    def failed(self, key: Key) -> None:
        self._release(key, failed=True)

    def cancel(self, job_id: str) -> None:
        for key, waiting in list(self.pending.items()):
            documents = waiting.jobs.pop(job_id, 0)
            self.jobs[job_id].processed += documents
            self.jobs[job_id].cancelled += documents
            if not waiting.jobs:
                del self.pending[key]

    def change_metadata(self, key: Key, metadata: str) -> bool:
        if key in self.pending:
            self.pending[key].content = self.pending[key].content[0], metadata
        if key in self.live:
            self.live[key] = self.live[key][0], metadata
        return key in self.pending or key in self.live

    def delete(self, key: Key) -> bool:
        there = key in self.pending or key in self.live
        self._release(key)
        self.live.pop(key, None)
        return there

    def delete_collection(self, collection: str) -> bool:
        for key in {*self.pending, *self.live}:
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
