"""The index's thread follows both spaces of a collection, and a switch changes what it searches at once."""

from pathlib import Path

import numpy as np
import pytest

from tandem_gateway import maintenance
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import FingerprintMismatch, NotFound
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.records.search import Hits
from tests.gateway.index.threads import SMALL, ask, hits, query, start
from tests.support.fakes import DIM, WAIT_SECONDS, vector_of, vectors_of
from tests.support.reembedding import NEW, SAME_SIZE, fill_second, text_of
from tests.support.stores import document, ingest

NAMES = [f"d{number}" for number in range(12)]


def new_query(text: str) -> VectorQuery:
    return VectorQuery("default", vector_of(text_of(text, SAME_SIZE)), SAME_SIZE.fingerprint, 3)


def found(thread: IndexThread, asked: VectorQuery) -> list[tuple[str, float]]:
    (answer,) = ask(thread, [asked])
    assert isinstance(answer, Hits), answer
    return [(hit.doc_id, round(hit.score, 5)) for hit in answer]


def take_graphs(thread: IndexThread, data_dir: Path) -> None:
    """Let searches use graphs, so that the exact vectors come from the store."""
    for saved in maintenance.snapshot(data_dir, SMALL, lambda: True, lambda line: None):
        assert saved.graph
        thread.adopt(saved.space_id, *thread.load_base(saved.space_id)).result(WAIT_SECONDS)


@pytest.mark.parametrize("with_graphs", [False, True])
async def test_a_switch_changes_the_vectors_that_searches_use_and_no_stale_one_is_left(
    store: SqliteStore, thread: IndexThread, tmp_path: Path, with_graphs: bool
):
    await ingest(store, [document(name) for name in NAMES])
    space = (await store.reembeddings.start("default", SAME_SIZE)).space
    await fill_second(store)
    if with_graphs:
        take_graphs(thread, tmp_path)
    for name in NAMES:  # also fills the caches
        assert found(thread, query(f"text of {name}"))[0] == (name, 1.0)
    states = {state.space_id: state for state in thread.state().result(WAIT_SECONDS)}
    assert {number: (each.serving, each.count) for number, each in states.items()} == {
        space.serving_id: (True, 12),
        space.space_id: (False, 12),
    }
    (answer,) = ask(thread, [new_query("text of d1")])
    assert isinstance(answer, FingerprintMismatch)

    await store.reembeddings.switch("default")
    for name in NAMES:
        assert found(thread, new_query(f"text of {name}"))[0] == (name, 1.0)
    assert thread.fingerprint("default") == SAME_SIZE.fingerprint
    (answer,) = ask(thread, [query("text of d1")])
    assert isinstance(answer, FingerprintMismatch)

    await store.reembeddings.switch("default", back=True)
    for name in NAMES:
        assert found(thread, query(f"text of {name}"))[0] == (name, 1.0)
    await store.reembeddings.drop("default")
    assert [state.space_id for state in thread.state().result(WAIT_SECONDS)] == [space.serving_id]
    assert hits(thread, "text of d3")[0].doc_id == "d3"


async def test_after_a_restart_both_indexes_are_there_and_verify_knows_them(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(name) for name in NAMES])
    space = (await store.reembeddings.start("default", NEW)).space
    await fill_second(store)
    assert len(maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)) == 2
    thread, notices = start(tmp_path)
    try:
        assert notices == []
        counts = {state.space_id: state.count for state in thread.state().result(WAIT_SECONDS)}
        assert counts == {space.serving_id: 12, space.space_id: 12}
    finally:
        thread.close()
    store.close()
    lines: list[str] = []
    assert maintenance.verify(tmp_path, lines.append)
    assert [NEW.fingerprint in line for line in lines].count(True) == 1
    maintenance.rebuild(tmp_path, SMALL, lines.append)
    assert maintenance.verify(tmp_path, lines.append)
    assert "rebuilt: 2 indexes" in lines


async def test_the_documents_nearest_in_either_space(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document(name) for name in NAMES])
    space = (await store.reembeddings.start("default", NEW)).space
    await fill_second(store)
    for space_id, dim in ((space.serving_id, DIM), (space.space_id, NEW.dim)):
        vectors = vectors_of([f"text of {name}" for name in NAMES], dim)
        scores = vectors @ vectors.T
        expected = [[1 + int(place) for place in np.argsort(-row, kind="stable")[:4]] for row in scores]
        assert thread.nearest(space_id, vectors, 4).result(WAIT_SECONDS) == expected
    await store.reembeddings.drop("default")
    with pytest.raises(NotFound):
        thread.nearest(space.space_id, vectors_of(["x"], NEW.dim), 4).result(WAIT_SECONDS)


async def test_a_search_at_the_moment_of_the_switch_scores_with_the_vectors_of_its_own_space(
    store: SqliteStore, thread: IndexThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The index has the candidates of the old space when a commit that it has not seen switches the spaces."""
    await ingest(store, [document(name) for name in NAMES])
    await store.reembeddings.start("default", SAME_SIZE)
    await fill_second(store)
    take_graphs(thread, tmp_path)
    assert found(thread, query("text of d1"))[0] == ("d1", 1.0)
    assert thread._retrieval is not None
    thread._retrieval._vectors._cache.clear()
    monkeypatch.setattr(thread._retrieval._indexes, "follow", lambda at_least=None: None)
    await store.reembeddings.switch("default")
    assert found(thread, query("text of d1"))[0] == ("d1", 1.0)
