"""A collection in a vector engine against the model of ``test_stateful``: the engine is behind, or loses vectors."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.memory.vector_engine import MemoryEngine
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.engine_maintenance import Engines
from tandem_gateway.index.index_thread import IndexThread, OtherSources
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.documents import CollectionChange
from tandem_gateway.records.engines import EngineSpace, EngineState
from tests.gateway.store.histories import DOCUMENTS, IDS, SMALL, StoreHistory
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.stores import LIMITS

pytestmark = pytest.mark.slow

ENGINE = "pgvector"


class Alone:
    """``Leadership`` of one process; it may end the work after some steps."""

    steps = 1 << 30

    def take(self, name: str, seconds: float) -> bool:
        self.steps -= 1
        return self.steps >= 0

    def give_back(self, name: str) -> None:
        pass

    def close(self) -> None:
        pass


class LaggingEngine(MemoryEngine):
    """Shows in searches what it had before the last write, as Milvus does for some seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, tuple[int, dict[int, Vectors]]] = {}
        """Generation → the position that searches show, and the vectors."""

    def write(
        self, space: EngineSpace, state: EngineState, added: Keys, vectors: Vectors, removed: Keys, position: int
    ) -> EngineState:
        before = self._generation(space, state.generation)
        self._shown[state.generation] = before.state.written, dict(before.vectors)
        return self._seen(super().write(space, state, added, vectors, removed, position))

    def publish(self, space: EngineSpace, state: EngineState) -> None:
        written = self._generation(space, state.generation)
        self._shown[state.generation] = written.state.written, dict(written.vectors)
        super().publish(space, state)

    def state(self, space: EngineSpace) -> EngineState | None:
        found = super().state(space)
        return self._seen(found) if found is not None else None

    def search(
        self, space: EngineSpace, state: EngineState, queries: Vectors, count: int, among: Keys | None = None
    ) -> list[dict[int, float]]:
        generation = self._generation(space, state.generation)
        now, generation.vectors = generation.vectors, self._shown[state.generation][1]
        try:
            return super().search(space, state, queries, count, among)
        finally:
            generation.vectors = now

    def _seen(self, state: EngineState) -> EngineState:
        return replace(state, visible=self._shown[state.generation][0])


class EngineData(StoreHistory):
    """The rules are writes to a store with a collection in an engine, and events in the life of the engine."""

    make_engine: ClassVar[type[MemoryEngine]] = MemoryEngine

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tandem-stateful-"))
        """For snapshots, of which there is none."""
        self.engine = self.make_engine()
        self.rebuilt = False
        """Whether the index searches the generation before the last."""

    @initialize()
    def first_start(self) -> None:
        self.store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
        self.do(self.store.put_collection("default", CollectionChange(engine=ENGINE)))  # others are in memory
        self.start_index()

    def start_index(self) -> None:
        self.index = IndexThread(
            self.store.open_feed,
            Snapshots(self.folder),
            UsearchGraphFactory(),
            answer_limits(),
            sizes=SMALL,
            sources=OtherSources(open_engines=lambda: {ENGINE: self.engine}),
        )
        self.index.start().result(WAIT_SECONDS)
        self.running = True

    def open_feed(self) -> IndexFeed:
        return self.store.open_feed()

    def is_count(self, told: int, live: int) -> bool:
        return told >= live  # removed vectors count until the next update of the engine

    @rule(steps=st.sampled_from([1, 2, 1 << 30]), refresh=st.booleans(), forget=st.booleans(), rebuild=st.booleans())
    def update_engine(self, steps: int, refresh: bool, forget: bool, rebuild: bool = False) -> None:
        rebuild = rebuild and (refresh or not self.rebuilt)  # the generation before the last stays
        self.rebuilt = rebuild and not refresh
        leader = Alone()
        leader.steps = steps  # the update ends after some pages, as if the process were killed
        for saved in Engines({ENGINE: self.engine}, leader).update(self.open_feed(), rebuild=rebuild):
            assert saved.error is None
            if refresh:
                self.index.refresh(saved.space_id).result(WAIT_SECONDS)
            if refresh and forget:
                self.do(self.store.forget_removals(saved.space_id, saved.position))

    @rule(first=DOCUMENTS, then=DOCUMENTS, doc_id=IDS)
    def follow_closely(self, first: list[Any], then: list[Any], doc_id: str) -> None:
        """Search the engine after each update of it."""
        for documents in (first, then):
            self.ingest("default", documents)
            self.embed("default", 4)
            self.delete("default", doc_id)
            self.update_engine(1 << 30, True, False)
            self.what_is_live_is_found_and_nothing_else()

    @rule()
    def lose_a_vector(self) -> None:
        """The engine loses a vector; the next update notices, and the index searches what it publishes then."""
        for found in self.engine._spaces.values():
            for generation in found.generations.values():
                if generation.vectors:
                    del generation.vectors[min(generation.vectors)]
        self.update_engine(1 << 30, True, False)

    @rule()
    def lose_everything(self) -> None:
        self.engine._spaces.clear()
        self.update_engine(1 << 30, True, False)

    @rule()
    def restart_index(self) -> None:
        self.index.close()
        self.start_index()

    def teardown(self) -> None:
        try:
            if self.running:
                self.index.close()
        finally:
            super().teardown()
            shutil.rmtree(self.folder, ignore_errors=True)


class LaggingEngineData(EngineData):
    """The same with an engine that shows changes late."""

    make_engine = LaggingEngine


_SETTINGS = settings(max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestEngineData = EngineData.TestCase
TestEngineData.settings = _SETTINGS
TestLaggingEngineData = LaggingEngineData.TestCase
TestLaggingEngineData.settings = _SETTINGS
