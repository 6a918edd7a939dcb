"""Milvus shows changes seconds late, loses them or answers late; searches find what is live and nothing else."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from tandem_gateway.adapters import milvus_engine
from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.milvus_engine import MilvusEngine
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.index import engine_spaces
from tandem_gateway.index.engine_update import Writer
from tandem_gateway.index.index_thread import IndexThread, OtherSources
from tandem_gateway.records.documents import CollectionChange
from tests.gateway.index.threads import SMALL, ask, query
from tests.support import milvus
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.late_milvus import LateMilvus
from tests.support.stores import LIMITS, document, ingest

ENGINE = "milvus"
LATE_SECONDS = 5.0
"""Milvus' bound."""


@dataclass
class Clock:
    """Seconds that pass when a test or the adapter wants them to."""

    now: float = 1e6

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Gateway:
    """A store, its index and the engine behind the proxy; every engine that is opened is a process of its own."""

    store: MemoryStore
    proxy: LateMilvus
    clock: Clock
    folder: Path
    jobs: int = 0
    opened: list[MilvusEngine] = field(default_factory=list)
    thread: IndexThread | None = None

    def open_engine(self) -> MilvusEngine:
        self.opened.append(MilvusEngine(self.proxy.url, clock=self.clock, sleep=self.clock.sleep))
        return self.opened[-1]

    def start(self) -> None:
        self.thread = IndexThread(
            self.store.open_feed,
            Snapshots(self.folder),
            UsearchGraphFactory(),
            answer_limits(),
            sizes=SMALL,
            sources=OtherSources(open_engines=lambda: {ENGINE: self.open_engine()}),
        )
        self.thread.start().result(WAIT_SECONDS)

    async def ingest(self, *ids: str) -> None:
        self.jobs += 1
        await ingest(self.store, [document(doc_id) for doc_id in ids], f"job {self.jobs}")

    async def update(self) -> None:
        """Bring the engine up to date, as the process does that saves snapshots, and search its new state."""
        (record,) = await self.store.collections()
        feed, engine = self.store.open_feed(), self.open_engine()
        try:
            assert Writer(engine, feed).update(record) is not None
        finally:
            feed.close()
            engine.close()
        assert self.thread is not None
        self.thread.refresh(record.space_id).result(WAIT_SECONDS)

    def found(self, doc_id: str, top_k: int = 3) -> list[str]:
        assert self.thread is not None
        (answer,) = ask(self.thread, [query(f"text of {doc_id}", top_k)])
        if isinstance(answer, StorageUnavailable):
            raise answer
        assert isinstance(answer, list)
        return [hit.doc_id for hit in answer]

    def check(self, live: set[str]) -> None:
        """Check that each live document is first for its text, and that a search for all returns these and no other."""
        for doc_id in live:
            assert self.found(doc_id)[0] == doc_id
        if live:
            assert sorted(self.found(min(live), 100)) == sorted(live)

    def missing(self) -> int:
        """Return how many vectors the engine lacks or does not show."""
        assert self.thread is not None
        (state,) = self.thread.state().result(WAIT_SECONDS)
        return state.exact

    def close(self) -> None:
        if self.thread is not None:
            self.thread.close()
        for engine in self.opened:
            engine.remove_orphans(self.store.open_feed().store_id(), [])
            engine.close()


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(engine_spaces, "_PAUSE_SECONDS", 0.0)
    clock = Clock()
    store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
    await store.put_collection("default", CollectionChange(engine=ENGINE))
    proxy = LateMilvus(milvus.server().url, LATE_SECONDS, clock=clock)
    made = Gateway(store, proxy, clock, tmp_path)
    yield made  # type: ignore[misc]
    made.close()
    proxy.close()


async def test_each_search_finds_what_was_acknowledged_whatever_the_engine_shows(gateway: Gateway):
    draw = random.Random(41)
    live: set[str] = set()
    gateway.start()
    for step in range(16):
        new = {f"d{step}-{number}" for number in range(draw.randrange(3))}
        if new:
            await gateway.ingest(*sorted(new))
        live |= new
        gone = set(draw.sample(sorted(live), min(len(live), draw.randrange(2))))
        for doc_id in gone:
            await gateway.store.delete("default", doc_id)
        live -= gone
        if draw.random() < 0.7:
            await gateway.update()
        gateway.check(live)
        gateway.clock.sleep(draw.choice((0.0, 1.0, 4.0)))
        gateway.check(live)
    assert gateway.proxy.hidden > 0
    assert gateway.proxy.ghosts > 0
    # In the end the engine shows everything, and the gateway compares nothing itself.
    for _ in range(2):
        gateway.clock.sleep(milvus_engine.SETTLE_SECONDS)
        await gateway.update()
    assert gateway.missing() == 0
    gateway.check(live)


async def test_what_was_written_before_a_crash_and_not_recorded_is_written_again(gateway: Gateway):
    gateway.start()
    await gateway.ingest("a", "b")
    await gateway.update()
    await gateway.ingest("c", "d")
    await gateway.store.delete("default", "a")
    (record,) = await gateway.store.collections()
    feed, engine = gateway.store.open_feed(), gateway.open_engine()
    state = engine.state(milvus_engine.EngineSpace(feed.store_id(), record.space_id, record.dim or 0))
    assert state is not None
    # The rows arrive, and the position never does.
    gateway.proxy.refuse("tandem_generations")
    with pytest.raises(StorageUnavailable):
        Writer(engine, feed).update(record)
    gateway.proxy.go_on()
    feed.close()
    gateway.clock.sleep(2.0)
    gateway.check({"b", "c", "d"})
    assert gateway.thread is not None
    gateway.thread.close()
    gateway.start()
    gateway.check({"b", "c", "d"})
    for _ in range(2):
        await gateway.update()
        gateway.clock.sleep(milvus_engine.SETTLE_SECONDS)
        gateway.check({"b", "c", "d"})


@pytest.mark.parametrize("what", ["vectors", "everything"])
async def test_an_engine_that_is_emptied_under_way_is_filled_and_answers_nothing_wrong(gateway: Gateway, what: str):
    gateway.start()
    await gateway.ingest("a", "b", "c")
    await gateway.update()
    assert gateway.missing() == 0
    client = MilvusClient(uri=milvus.server().url, dedicated=True)
    for name in client.list_collections():
        if what == "everything" or name != "tandem_generations":
            client.drop_collection(name)
    client.close()
    gateway.check({"a", "b", "c"})
    assert gateway.missing() == 3  # compared by the gateway itself
    await gateway.ingest("d")
    gateway.check({"a", "b", "c", "d"})
    await gateway.update()
    gateway.check({"a", "b", "c", "d"})
    assert gateway.missing() == 0


async def test_an_engine_that_answers_too_late_is_unavailable_and_answers_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
):
    gateway.start()
    await gateway.ingest("a")
    await gateway.update()
    monkeypatch.setattr(milvus_engine, "_SEARCH_SECONDS", 0.2)
    gateway.proxy.stop_before("Search")
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        gateway.found("a")
    gateway.proxy.go_on()
    monkeypatch.undo()
    gateway.clock.sleep(2.0)
    gateway.check({"a"})
