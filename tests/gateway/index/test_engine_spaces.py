"""What searches get while a vector engine does not answer, and after it has changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.memory.vector_engine import MemoryEngine
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.index import engine_spaces
from tandem_gateway.index.engine_update import Writer
from tandem_gateway.index.index_thread import IndexThread, OtherSources
from tandem_gateway.records.documents import CollectionChange
from tandem_gateway.records.engines import EngineSpace, EngineState
from tests.gateway.index.threads import SMALL, ask, query
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.stores import LIMITS, document, ingest

ENGINE = "pgvector"


class Away(MemoryEngine):
    """An engine that a test can take away."""

    away = False

    def state(self, space: EngineSpace) -> EngineState | None:
        if self.away:
            raise StorageUnavailable("the engine does not answer")
        return super().state(space)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Away:
    monkeypatch.setattr(engine_spaces, "_PAUSE_SECONDS", 0.0)
    return Away()


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
    await made.put_collection("default", CollectionChange(engine=ENGINE))
    return made


@pytest.fixture
def thread(store: MemoryStore, engine: Away, tmp_path: Path) -> Iterator[IndexThread]:
    sources = OtherSources(open_engines=lambda: {ENGINE: engine})
    made = IndexThread(
        store.open_feed, Snapshots(tmp_path), UsearchGraphFactory(), answer_limits(), sizes=SMALL, sources=sources
    )
    yield made
    made.close()


def found(thread: IndexThread, text: str) -> list[str]:
    (answer,) = ask(thread, [query(text)])
    if isinstance(answer, StorageUnavailable):
        raise answer
    assert isinstance(answer, list)
    return [hit.doc_id for hit in answer]


async def update(store: MemoryStore, engine: Away, *, rebuild: bool = False) -> None:
    (record,) = await store.collections()
    feed = store.open_feed()
    assert Writer(engine, feed).update(record, rebuild=rebuild) is not None
    feed.close()


async def test_an_engine_that_is_away_at_the_start_is_asked_again(
    store: MemoryStore, engine: Away, thread: IndexThread
):
    await ingest(store, [document("a")])
    engine.away = True
    thread.start().result(WAIT_SECONDS)
    with pytest.raises(StorageUnavailable, match="does not answer"):
        found(thread, "text of a")
    engine.away = False
    assert found(thread, "text of a") == ["a"]


async def test_a_collection_that_leaves_an_engine_which_is_away_can_be_searched(
    store: MemoryStore, engine: Away, thread: IndexThread
):
    await ingest(store, [document("a")])
    engine.away = True
    thread.start().result(WAIT_SECONDS)
    await store.delete("default", "a")
    await store.put_collection("default", CollectionChange(engine="usearch"))
    await ingest(store, [document("b")], "job 2")
    assert found(thread, "text of b") == ["b"]


async def test_a_search_whose_generation_is_gone_is_repeated_in_the_next_one(
    store: MemoryStore, engine: Away, thread: IndexThread
):
    await ingest(store, [document("a"), document("b")])
    await update(store, engine)
    thread.start().result(WAIT_SECONDS)
    assert found(thread, "text of a")[0] == "a"
    for _ in range(2):
        await update(store, engine, rebuild=True)
    (record,) = await store.collections()
    assert len(engine.remove_orphans(store.open_feed().store_id(), [record.space_id])) == 1
    assert found(thread, "text of a")[0] == "a"
    assert found(thread, "text of b")[0] == "b"
