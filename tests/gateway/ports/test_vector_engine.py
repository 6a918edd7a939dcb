"""Conformance of the vector engines: in memory, pgvector, and Milvus by its embedded server."""

from collections.abc import Iterator

import numpy as np
import pytest

from tandem_gateway.adapters.memory.vector_engine import MemoryEngine
from tandem_gateway.adapters.milvus_engine import MilvusEngine
from tandem_gateway.adapters.postgres.pgvector_engine import PgvectorEngine
from tandem_gateway.errors import VectorsGone
from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.engines import EngineSpace, EngineState
from tests.support import milvus, postgres

DIM = 16
SPACE = EngineSpace("a1b2", 7, DIM)
OTHER = EngineSpace("a1b2", 8, DIM)
NO_KEYS: Keys = np.empty(0, np.uint64)


def unit_vectors(count: int, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def keys(*numbers: int) -> Keys:
    return np.array(numbers, np.uint64)


@pytest.fixture(params=["memory", "pgvector", "milvus"])
def engine(request: pytest.FixtureRequest) -> Iterator[VectorEngine]:
    if request.param == "memory":
        yield MemoryEngine()
        return
    made: VectorEngine
    if request.param == "pgvector":
        url = postgres.server().new_database()
        made = PgvectorEngine(url)
    else:
        made = MilvusEngine(milvus.server().url, settle_seconds=0.0)
    yield made
    for store_id in ("a1b2", "c3d4"):
        made.remove_orphans(store_id, [])
    made.close()


def published(engine: VectorEngine, space: EngineSpace, count: int, position: int = 10) -> EngineState:
    state = engine.begin(space)
    state = engine.write(space, state, keys(*range(1, count + 1)), unit_vectors(count), NO_KEYS, position)
    engine.publish(space, state)
    return state


def all_keys(engine: VectorEngine, state: EngineState) -> list[int]:
    return sorted(key for page in engine.keys(SPACE, state) for key in page.tolist())


def test_a_generation_is_there_once_it_is_published(engine: VectorEngine):
    assert engine.state(SPACE) is None
    state = engine.begin(SPACE)
    assert (state.written, state.visible, state.count) == (0, 0, 0)
    assert engine.state(SPACE) is None
    state = engine.write(SPACE, state, keys(1, 2), unit_vectors(2), NO_KEYS, 5)
    assert engine.state(SPACE) is None
    engine.publish(SPACE, state)
    assert engine.state(SPACE) == EngineState(state.generation, 5, state.visible, 2)
    assert engine.state(OTHER) is None


def test_a_search_finds_the_nearest(engine: VectorEngine):
    state = published(engine, SPACE, 200)
    vectors = unit_vectors(200)
    found = engine.search(SPACE, state, vectors[[3, 77]], 10)
    assert [next(iter(each)) for each in found] == [4, 78]
    for query, each in zip(vectors[[3, 77]], found, strict=True):
        assert len(each) == 10
        scores = list(each.values())
        assert scores == sorted(scores, reverse=True)
        for key, score in each.items():
            assert score == pytest.approx(float(vectors[key - 1] @ query), abs=2e-3)
        best = set((np.argsort(-(vectors @ query))[:10] + 1).tolist())
        assert len(best & set(each)) >= 9


def test_a_search_among_some_finds_only_these(engine: VectorEngine):
    state = published(engine, SPACE, 200)
    vectors = unit_vectors(200)
    among = keys(*range(2, 202, 50))
    (found,) = engine.search(SPACE, state, vectors[:1], 10, among)
    assert set(found) == {2, 52, 102, 152}
    assert list(found) == sorted(found, key=lambda key: -float(vectors[key - 1] @ vectors[0]))
    assert engine.search(SPACE, state, vectors[:1], 10, keys(999)) == [{}]


def test_writes_may_be_repeated(engine: VectorEngine):
    state = published(engine, SPACE, 4)
    vectors = unit_vectors(6)
    for _ in range(2):
        state = engine.write(SPACE, state, keys(4, 5, 6), vectors[3:], keys(1, 99), 20)
        assert (state.written, state.count) == (20, 5)
    assert engine.state(SPACE) == state
    assert engine.count(SPACE, state) == 5
    assert all_keys(engine, state) == [2, 3, 4, 5, 6]
    (found,) = engine.search(SPACE, state, vectors[:1], 10)
    assert set(found) == {2, 3, 4, 5, 6}


def test_a_position_does_not_go_back(engine: VectorEngine):
    state = published(engine, SPACE, 2)
    engine.write(SPACE, state, NO_KEYS, unit_vectors(0), NO_KEYS, 30)
    assert engine.write(SPACE, state, NO_KEYS, unit_vectors(0), NO_KEYS, 20).written == 30


def test_the_generation_before_the_last_stays(engine: VectorEngine):
    states = [published(engine, SPACE, count, position=count) for count in (1, 2, 3)]
    unfinished = engine.begin(SPACE)
    elsewhere = published(engine, OTHER, 1)
    foreign = published(engine, EngineSpace("c3d4", 7, DIM), 1)
    removed = engine.remove_orphans("a1b2", [7])
    names = {f"{SPACE.name}_{states[0].generation}", f"{SPACE.name}_{unfinished.generation}"}
    assert set(removed) == names | {f"{OTHER.name}_{elsewhere.generation}"}
    assert engine.state(SPACE) == states[2]
    assert [len(found) for state in states[1:] for found in engine.search(SPACE, state, unit_vectors(1), 5)] == [2, 3]
    with pytest.raises(VectorsGone):
        engine.search(SPACE, states[0], unit_vectors(1), 5)
    assert engine.state(EngineSpace("c3d4", 7, DIM)) == foreign
    assert engine.remove_orphans("a1b2", [7]) == []


def test_many_deletions_leave_no_gaps(engine: VectorEngine):
    state = published(engine, SPACE, 300)
    vectors = unit_vectors(300)
    order = (np.argsort(-(vectors @ vectors[0])) + 1).astype(np.uint64)
    state = engine.write(SPACE, state, NO_KEYS, unit_vectors(0), order[:250], 40)
    (found,) = engine.search(SPACE, state, vectors[:1], 40)
    assert len(found) == 40
    assert set(found) <= set(order[250:].tolist())
