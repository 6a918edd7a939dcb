"""Histories of writes to a store, against a model: the rules and invariants that all stores share."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tandem_gateway.errors import Conflict, NotFound
from tandem_gateway.index import builder, catch_up
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.documents import EmbeddedBatch, IdempotencyKey, NewDocument, PendingBatch, StoredContent
from tandem_gateway.records.search import Hit
from tests.gateway.ports.backends import Store
from tests.gateway.store.model import Job, Model
from tests.gateway.store.second_spaces import COLLECTIONS, SecondSpaces
from tests.support.fakes import WAIT_SECONDS, answered, paragraphs
from tests.support.stores import NOW, document

R = TypeVar("R")

SMALL = Sizes(graph=2, second_graph=3)

IDS = st.sampled_from(["a", "b", "c", "d", "e"])
# Some have several passages, and some of these are the same as passages of others.
TEXTS = st.sampled_from([*(f"text {number}" for number in range(4)), "text 1\n\ntext 2\n\ntext 4", "text 5\n\ntext 6"])
METADATA = st.sampled_from(["{}", '{"k":1}'])
DOCUMENTS = st.lists(st.tuples(IDS, st.tuples(TEXTS, METADATA)), min_size=1, max_size=5)


def parts_of(text: str) -> list[str]:
    """Return the passages of a text."""
    return [text[start:stop] for start, stop in paragraphs(text)]


class StoreHistory(SecondSpaces):
    """Every rule is a write to a store, and an index follows it; the invariants hold after each rule.

    A subclass sets ``store``, ``index`` and ``running`` before the first rule.
    """

    store: Store
    index: IndexThread

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        # Small limits, so that pages end and graphs are rebuilt within a short history.
        self.patches = [
            mock.patch.object(catch_up, "_PAGE", 2),
            mock.patch.object(builder, "_MIN_DEAD", 2),
            mock.patch.object(builder, "_BLOCK", 2),
        ]
        for patch in self.patches:
            patch.start()
        self.running = False

    def open_feed(self) -> IndexFeed:
        """Return a feed of the store."""
        raise NotImplementedError

    def teardown(self) -> None:
        for patch in self.patches:
            patch.stop()
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(work)

    @rule(collection=COLLECTIONS, documents=DOCUMENTS)
    def ingest(self, collection: str, documents: list[tuple[str, tuple[str, str]]]) -> None:
        job_id = f"job{next(self.numbers)}"
        given = [document(doc_id, *content) for doc_id, content in documents]
        self.do(self.store.accept(job_id, collection, given, NOW, IdempotencyKey(job_id, b"hash")))
        self.model.accept(job_id, collection, documents)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), documents=DOCUMENTS, same=st.booleans())
    def send_again(self, data: st.DataObject, documents: list[tuple[str, tuple[str, str]]], same: bool) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.model.jobs)))
        given = [document(doc_id, *content) for doc_id, content in documents]
        key = IdempotencyKey(job_id, b"hash" if same else b"another")
        try:
            job = self.do(self.store.accept("never", "books", given, NOW, key))
        except Conflict:
            assert not same
        else:
            assert same
            assert job.job_id == job_id

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.model.jobs)))
        self.do(self.store.cancel(job_id, NOW))
        self.model.cancel(job_id)

    @precondition(lambda self: any(job.failed for job in self.model.jobs.values()))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(key for key, job in self.model.jobs.items() if job.failed)))
        before = self.model.jobs[job_id].failed
        if not self.model.retry(job_id):
            with pytest.raises(Conflict):
                self.do(self.store.retry(job_id, NOW))
            return
        found = self.do(self.store.retry(job_id, NOW))
        assert found is not None
        assert (found.lost, found.retried) == (self.model.jobs[job_id].failed, before - found.lost)

    @precondition(lambda self: self.model.pending)
    @rule(collection=COLLECTIONS, limit=st.integers(1, 4))
    def embed(self, collection: str, limit: int) -> None:
        keys = self.model.next_batch(collection, limit)
        batch = self.claim(collection, limit)
        if batch is None:
            assert keys == []
            return
        texts = [waiting.text for waiting in batch.passages]
        assert texts == [self.model.pending[key].content[0] for key in keys]
        rows = [waiting.passage_id for waiting in batch.passages]
        spans = [paragraphs(text) for text in texts]
        model = self.model_of(collection)
        assert batch.fingerprint in (None, model.fingerprint)
        vectors = self.vectors(collection, [part for text in texts for part in parts_of(text)])
        embedded = EmbeddedBatch(batch.collection_id, rows, vectors, model.model, model.fingerprint, NOW, spans=spans)
        assert self.do(self.store.queue.complete(embedded)) == len(keys)
        self.pin(collection)
        self.model.embedded(keys)

    def ingest_and_embed(self, collection: str) -> None:
        self.ingest(collection, [("a", ("text 1", "{}")), ("b", ("text 5\n\ntext 6", "{}"))])
        self.embed(collection, 4)

    @precondition(lambda self: self.model.pending)
    @rule()
    def fail(self) -> None:
        oldest = next(iter(self.model.pending))
        batch = self.claim(oldest[0], 1)
        assert batch is not None
        (waiting,) = batch.passages
        self.do(self.store.queue.fail(waiting.passage_id, "it was refused"))
        self.model.failed(oldest)

    @precondition(lambda self: self.model.pending)
    @rule(collection=COLLECTIONS, limit=st.integers(1, 4))
    def give_back(self, collection: str, limit: int) -> None:
        batch = self.claim(collection, limit)
        if batch is not None:
            self.do(self.store.queue.release("worker", [waiting.passage_id for waiting in batch.passages]))

    def claim(self, collection: str, limit: int) -> PendingBatch | None:
        """Claim documents of this collection alone."""
        others = {record.collection_id for record in self.do(self.store.collections()) if record.name != collection}
        return self.do(self.store.queue.claim("worker", limit, 60.0, without=others))

    @rule(collection=COLLECTIONS, doc_id=IDS)
    def delete(self, collection: str, doc_id: str) -> None:
        assert self.do(self.store.delete(collection, doc_id)) == self.model.delete((collection, doc_id))

    @rule(collection=COLLECTIONS, doc_id=IDS, metadata=st.sampled_from(["{}", '{"k":1}', '{"k":9}']))
    def change_metadata(self, collection: str, doc_id: str, metadata: str) -> None:
        def change(stored: StoredContent) -> NewDocument:
            return document(stored.doc_id, stored.text, metadata, stored.format)

        found = self.do(self.store.change_metadata(collection, doc_id, change))
        assert (found is not None) == self.model.change_metadata((collection, doc_id), metadata)
        assert found is None or found.metadata == metadata

    @rule(collection=COLLECTIONS)
    def delete_collection(self, collection: str) -> None:
        assert self.do(self.store.delete_collection(collection)) == self.model.delete_collection(collection)
        self.forget(collection)

    @precondition(lambda self: self.running)
    @invariant()
    def what_is_live_is_found_and_nothing_else(self) -> None:
        for collection in ("default", "books"):
            live = self.model.live_in(collection)
            parts = sorted({part for text, _ in live.values() for part in parts_of(text)}) or ["anything"]
            asked = [(part, most) for part in parts for most in (50, 2)]
            rows = self.vectors(collection, [part for part, _ in asked])
            model = self.model_of(collection)
            queries = [
                VectorQuery(collection, row, model.fingerprint, most)
                for row, (_, most) in zip(rows, asked, strict=True)
            ]
            answers = iter(answered(self.index, queries))
            for part, answer, short in zip(parts, answers, answers, strict=True):
                if collection not in self.model.collections:
                    assert isinstance(answer, NotFound)
                    continue
                assert isinstance(answer, list)
                assert {hit.doc_id: (hit.text, hit.metadata) for hit in answer} == live
                assert len(answer) == len(live)
                assert isinstance(short, list)
                assert [hit.doc_id for hit in short] == [hit.doc_id for hit in answer[:2]]
                if live:
                    self.comes_first(part, answer)

    def comes_first(self, part: str, hits: list[Hit]) -> None:
        shown = hits[0].passage
        assert shown is not None
        assert hits[0].text[shown.start : shown.stop] == part
        assert abs(hits[0].score - 1.0) < 1e-5
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    def is_count(self, told: int, live: int) -> bool:
        """Return whether an index may tell this number of vectors."""
        return told == live

    @precondition(lambda self: self.running)
    @invariant()
    def counts_agree(self) -> None:
        records = self.do(self.store.collections())
        assert {record.name: (record.live, record.pending) for record in records} == self.model.counts()
        for state in self.index.state().result(WAIT_SECONDS):
            live = sum(len(parts_of(text)) for text, _ in self.model.live_in(state.collection).values())
            if state.serving:
                assert self.is_count(state.count, live)
            else:
                found = self.do(self.store.reembeddings.reembedding(state.collection))
                assert found is not None
                assert (found.space.space_id, found.passages) == (state.space_id, live)
                assert self.is_count(state.count, found.embedded)

    @precondition(lambda self: self.running)
    @invariant()
    def the_index_has_the_rows_that_are_live(self) -> None:
        feed = self.open_feed()
        for space_id, followed in self.index._indexes._followed.items():
            assert len(np.setxor1d(followed.index.keys(), feed.passage_ids(space_id))) == 0
        feed.close()

    @precondition(lambda self: self.running)
    @invariant()
    def jobs_agree(self) -> None:
        for job_id, expected in self.model.jobs.items():
            job = self.do(self.store.job(job_id))
            assert job is not None
            assert (job.total, job.processed, job.unchanged, job.failed, job.cancelled) == (
                expected.total,
                expected.processed,
                expected.unchanged,
                expected.failed,
                expected.cancelled,
            )
            assert (job.finished_at is not None) == (expected.processed == expected.total)
            self.documents_agree(job_id, expected)

    def documents_agree(self, job_id: str, expected: Job) -> None:
        page = self.do(self.store.job_documents(job_id, 0, 1000, None))
        assert page is not None
        assert page.next is None
        found = Counter(each.status for each in page.documents)
        assert found.total() == expected.total
        assert found["pending"] == expected.total - expected.processed
        assert (found["unchanged"], found["failed"], found["cancelled"]) == (
            expected.unchanged,
            expected.failed,
            expected.cancelled,
        )
