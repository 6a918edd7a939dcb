"""Store, change feed, both indexes and snapshots against a model, over any history of writes, crashes and restarts."""

import shutil
import tempfile
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tandem_gateway import maintenance
from tandem_gateway.adapters.snapshots import FOLDER_NAME, Snapshots
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.lexical import cache as lexical_cache
from tandem_gateway.adapters.sqlite.lexical import candidates as lexical_candidates
from tandem_gateway.adapters.sqlite.lexical import file as lexical_file
from tandem_gateway.adapters.sqlite.lexical import follower as lexical_follower
from tandem_gateway.adapters.sqlite.lexical import positions as lexical_positions
from tandem_gateway.adapters.sqlite.lexical import removal as lexical_removal
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.errors import NotFound
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.ports.change_log import IndexFeed
from tests.gateway.store.damage import FILES
from tests.gateway.store.histories import SMALL, StoreHistory
from tests.gateway.store.lexical import follow
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.stores import open_store

# On a busy machine 80 histories with restarts and crashes take longer than the limit of one test.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class GatewayData(StoreHistory):
    """The rules are events in the life of a gateway's data directory."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="tandem-stateful-"))
        lexical_patches = [
            mock.patch.object(lexical_follower, "_PAGE_PASSAGES", 2),
            mock.patch.object(lexical_removal, "_PAGE_REMOVED", 2),
            mock.patch.object(lexical_positions, "_REPORT_SECONDS", 0.0),
            mock.patch.object(lexical_file, "sync"),  # no crash here is a power failure
            mock.patch.object(lexical_follower, "_SEARCH_REMOVES", 1),
            mock.patch.object(lexical_cache, "_MERGE_PAGES", 1),
            mock.patch.object(lexical_candidates, "_SPARE_HITS", 0),
        ]
        for patch in lexical_patches:
            patch.start()
        self.patches += lexical_patches

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

    def open_feed(self) -> IndexFeed:
        return SqliteIndexFeed(self.data_dir / FILE_NAME)

    def stop(self) -> None:
        self.running = False
        self.index.close()
        self.lexical.close()
        self.store.close()

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
            super().teardown()
            shutil.rmtree(self.root, ignore_errors=True)


TestGatewayData = GatewayData.TestCase
TestGatewayData.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
