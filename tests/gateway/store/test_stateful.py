"""Store, change feed, both indexes and snapshots against a model, over any history of writes, crashes and restarts."""

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tandem_gateway import maintenance
from tandem_gateway.adapters.snapshots import FOLDER_NAME, Snapshots
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.lexical import cache as lexical_cache
from tandem_gateway.adapters.sqlite.lexical import file as lexical_file
from tandem_gateway.adapters.sqlite.lexical import follower as lexical_follower
from tandem_gateway.adapters.sqlite.lexical import positions as lexical_positions
from tandem_gateway.adapters.sqlite.lexical import removal as lexical_removal
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.errors import NotFound
from tandem_gateway.index import builder, catch_up
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch
from tandem_gateway.records.search import Hit
from tests.gateway.store.damage import FILES
from tests.gateway.store.lexical import follow
from tests.gateway.store.model import Model
from tests.support.fakes import FINGERPRINT, MODEL, WAIT_SECONDS, answer_limits, answered, vector_of, vectors_of
from tests.support.stores import NOW, document, open_store

pytestmark = pytest.mark.slow

R = TypeVar("R")

SMALL = Sizes(graph=2, second_graph=3)

COLLECTIONS = st.sampled_from(["default", "books"])
IDS = st.sampled_from(["a", "b", "c", "d", "e"])
TEXTS = st.sampled_from([f"text {number}" for number in range(6)])
METADATA = st.sampled_from(["{}", '{"k":1}'])
DOCUMENTS = st.lists(st.tuples(IDS, st.tuples(TEXTS, METADATA)), min_size=1, max_size=5)


class GatewayData(RuleBasedStateMachine):
    """Every rule is an event in the life of a gateway's data; the invariants hold after each one."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="tandem-stateful-"))
        self.numbers = itertools.count()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        # Small limits, so that pages end and graphs are rebuilt within a short history.
        self.patches = [
            mock.patch.object(catch_up, "_PAGE", 2),
            mock.patch.object(builder, "_MIN_DEAD", 2),
            mock.patch.object(builder, "_BLOCK", 2),
            mock.patch.object(lexical_follower, "_PAGE_PASSAGES", 2),
            mock.patch.object(lexical_removal, "_PAGE_REMOVED", 2),
            mock.patch.object(lexical_positions, "_REPORT_SECONDS", 0.0),
            mock.patch.object(lexical_file, "sync"),  # no crash here is a power failure
            mock.patch.object(lexical_follower, "_SEARCH_REMOVES", 1),
            mock.patch.object(lexical_cache, "_MERGE_PAGES", 1),
            mock.patch.object(lexical_follower, "_SPARE_HITS", 0),
        ]
        for patch in self.patches:
            patch.start()
        self.running = False

    @initialize()
    def first_start(self) -> None:
        self.data_dir = self.root / "0"
        self.data_dir.mkdir()
        self.start()

    def start(self) -> None:
        self.store = open_store(self.data_dir)
        self.index = IndexThread(
            lambda: SqliteIndexFeed(self.data_dir / FILE_NAME, lambda: self.store.commits),
            Snapshots(self.data_dir),
            UsearchGraphFactory(),
            answer_limits(),
            sizes=SMALL,
        )
        self.notices = self.index.start().result(WAIT_SECONDS)
        self.lexical = follow(self.data_dir, self.store)
        self.running = True

    def stop(self) -> None:
        self.running = False
        self.index.close()
        self.lexical.close()
        self.store.close()

    def do(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(work)

    @rule(collection=COLLECTIONS, documents=DOCUMENTS)
    def ingest(self, collection: str, documents: list[tuple[str, tuple[str, str]]]) -> None:
        job_id = f"job{next(self.numbers)}"
        given = [document(doc_id, *content) for doc_id, content in documents]
        self.do(self.store.accept(job_id, collection, given, NOW))
        self.model.accept(job_id, collection, documents)

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
        embedded = EmbeddedBatch(batch.collection_id, rows, vectors_of(texts), MODEL, FINGERPRINT, NOW)
        assert self.do(self.store.queue.complete(embedded)) == len(keys)
        self.model.embedded(keys)

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

    @rule(collection=COLLECTIONS)
    def delete_collection(self, collection: str) -> None:
        assert self.do(self.store.delete_collection(collection)) == self.model.delete_collection(collection)

    @rule(forget=st.booleans(), follows=st.booleans(), adopt=st.booleans())
    def snapshot(self, forget: bool, follows: bool, adopt: bool) -> None:
        if follows:
            self.index.notify()
        for saved in maintenance.snapshot(self.data_dir, SMALL, lambda: True, lambda line: None):
            if adopt and saved.graph:
                base = self.index.load_base(saved.space_id)
                self.index.adopt(saved.space_id, *base).result(WAIT_SECONDS)
            if forget:
                self.do(self.store.forget_removals(saved.space_id, saved.position))

    @rule(damage=st.sampled_from(["none", "none", "flipped", "no manifest", "no index"]))
    def crash(self, damage: str) -> None:
        """Continue from copies of the files, as a kill at this moment would leave them."""
        left = self.root / str(next(self.numbers) + 1)
        left.mkdir()
        for name in [*FILES, lexical_file.FILE_NAME, f"{lexical_file.FILE_NAME}-wal"]:
            if (self.data_dir / name).exists():
                shutil.copyfile(self.data_dir / name, left / name)
        if (self.data_dir / FOLDER_NAME).exists() and damage != "no index":
            shutil.copytree(self.data_dir / FOLDER_NAME, left / FOLDER_NAME)
        for path in left.glob("*/*/*.json" if damage == "no manifest" else "*/*/*.usearch"):
            if damage == "flipped":
                content = bytearray(path.read_bytes())
                content[len(content) // 2] ^= 4
                path.write_bytes(content)
            elif damage == "no manifest":
                path.unlink()
        if damage == "no index":
            lexical_file.remove(left / lexical_file.FILE_NAME)
        self.stop()
        shutil.rmtree(self.data_dir)
        self.data_dir = left
        self.start()

    @rule()
    def restart(self) -> None:
        self.stop()
        self.start()

    @rule()
    def rebuild(self) -> None:
        self.stop()
        maintenance.rebuild(self.data_dir, SMALL, lambda line: None)
        self.start()
        assert self.notices == []

    @precondition(lambda self: self.running)
    @invariant()
    def what_is_live_is_found_and_nothing_else(self) -> None:
        for collection in ("default", "books"):
            live = self.model.live_in(collection)
            texts = sorted({text for text, _ in live.values()}) or ["anything"]
            queries = [VectorQuery(collection, vector_of(text), FINGERPRINT, 50) for text in texts]
            for text, answer in zip(texts, answered(self.index, queries), strict=True):
                if collection not in self.model.collections:
                    assert isinstance(answer, NotFound)
                    continue
                assert isinstance(answer, list)
                assert {hit.doc_id: (hit.text, hit.metadata) for hit in answer} == live
                assert len(answer) == len(live)
                if live:
                    self.comes_first(text, answer)

    @rule()
    def index_words(self) -> None:
        while self.lexical.step():
            pass
        cache = self.lexical._cache()
        counts = {name: sum(counts) for name, counts in self.model.counts().items()}
        there = {record.name: cache.count(record.collection_id) for record in self.do(self.store.collections())}
        assert there == counts
        cache.check()

    @precondition(lambda self: self.running)
    @invariant()
    def lexical_search_finds_that_and_what_waits_for_its_first_vector(self) -> None:
        for collection in ("default", "books"):
            if collection not in self.model.collections:
                with pytest.raises(NotFound):
                    self.lexical.search(collection, "text", 50, time.monotonic() + WAIT_SECONDS)
                continue
            waiting = {key[1]: each.content for key, each in self.model.pending.items() if key[0] == collection}
            findable = {**waiting, **self.model.live_in(collection)}
            hits = self.lexical.search(collection, "text", 50, time.monotonic() + WAIT_SECONDS)
            assert {hit.doc_id: (hit.text, hit.metadata) for hit in hits} == findable
            assert len(hits) == len(findable)

    def comes_first(self, text: str, hits: list[Hit]) -> None:
        assert hits[0].text == text
        assert abs(hits[0].score - 1.0) < 1e-5
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @precondition(lambda self: self.running)
    @invariant()
    def counts_agree(self) -> None:
        records = self.do(self.store.collections())
        assert {record.name: (record.live, record.pending) for record in records} == self.model.counts()
        for state in self.index.state().result(WAIT_SECONDS):
            assert state.count == self.model.counts()[state.collection][0]

    @precondition(lambda self: self.running)
    @invariant()
    def the_index_has_the_rows_that_are_live(self) -> None:
        feed = SqliteIndexFeed(self.data_dir / FILE_NAME)
        for space_id, followed in self.index._indexes._followed.items():
            assert len(np.setxor1d(followed.index.keys(), feed.passage_ids(space_id))) == 0
        feed.close()

    @precondition(lambda self: self.running)
    @invariant()
    def jobs_agree(self) -> None:
        for job_id, expected in self.model.jobs.items():
            job = self.do(self.store.job(job_id))
            assert job is not None
            assert (job.total, job.processed, job.unchanged, job.failed) == (
                expected.total,
                expected.processed,
                expected.unchanged,
                expected.failed,
            )
            assert (job.finished_at is not None) == (expected.processed == expected.total)

    def teardown(self) -> None:
        said: list[str] = []
        try:
            if self.running:
                self.stop()
                assert (
                    maintenance.verify(self.data_dir, said.append)
                    or "checksum" in str(said)
                    or "is missing" in str(said)
                ), said
        finally:
            for patch in self.patches:
                patch.stop()
            self.loop.close()
            shutil.rmtree(self.root, ignore_errors=True)


TestGatewayData = GatewayData.TestCase
TestGatewayData.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
