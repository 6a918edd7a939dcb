"""The index of a collection in a vector engine: it finds what is live, whatever the engine still has."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_gateway.adapters.memory.vector_engine import MemoryEngine
from tandem_gateway.index import engine_index
from tandem_gateway.index.engine_index import EngineIndex, counts_to_ask
from tandem_gateway.index.findable import Candidates
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.engines import EngineSpace

DIM = 8
SPACE = EngineSpace("a1b2", 1, DIM)
ROWS = 120
VECTORS: Vectors = np.random.default_rng(3).normal(size=(ROWS, DIM)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)

NUMBERS = st.sets(st.integers(0, ROWS - 1))


def keys(numbers: "set[int] | range") -> Keys:
    return np.array(sorted(numbers), np.uint64)


def made(held: set[int], later: set[int], removed: set[int]) -> EngineIndex:
    """Return an index whose engine has rows, and that has got others and removals since."""
    engine = MemoryEngine()
    state = engine.write(SPACE, engine.begin(SPACE), keys(held), VECTORS[sorted(held)], keys(set()), 1)
    engine.publish(SPACE, state)
    index = EngineIndex(engine, SPACE, state)
    index.add(keys(later), VECTORS[sorted(later)])
    index.remove(keys(removed))
    return index


def check(found: Candidates, query: Vectors, live: set[int], top_k: int) -> None:
    """Check that candidates have the nearest live rows, and no row that is not live."""
    nearest = sorted(live, key=lambda row: -float(VECTORS[row] @ query))[:top_k]
    assert set(nearest) <= set(found.keys) <= live
    assert len(found.keys) == len(set(found.keys))


@settings(max_examples=150)
@given(held=NUMBERS, later=NUMBERS, removed=NUMBERS, top_k=st.integers(1, 20))
def test_a_search_finds_the_nearest_live_rows(held: set[int], later: set[int], removed: set[int], top_k: int):
    with mock.patch.object(engine_index, "_SPARE", 2):
        index = made(held, later, removed)
        live = (held | later) - removed
        for query, found in zip(VECTORS[:3], index.search(VECTORS[:3], top_k), strict=True):
            check(found, query, live, top_k)
        assert set(index.keys().tolist()) == live
        assert len(index) >= len(live)


@settings(max_examples=150)
@given(held=NUMBERS, later=NUMBERS, removed=NUMBERS, among=NUMBERS, top_k=st.integers(1, 5), most=st.integers(8, 40))
def test_a_search_among_rows_finds_the_nearest_of_them(
    held: set[int], later: set[int], removed: set[int], among: set[int], top_k: int, most: int
):
    with mock.patch.object(engine_index, "_SPARE", 2), mock.patch.object(engine_index, "MAX_COUNT", most):
        index = made(held, later, removed)
        live = ((held | later) - removed) & among
        check(index.search_among(VECTORS[0], top_k, keys(among)), VECTORS[0], live, top_k)


@pytest.mark.parametrize(
    ("matching", "total", "wanted", "counts"),
    [
        (100, 10**6, 42, []),  # few rows: the engine gets them
        (500_000, 10**6, 42, [169, 676]),
        (10**6, 10**8, 42, [8401]),
        (20_000, 10**8, 42, []),  # too many to find at random
    ],
)
def test_how_many_rows_an_engine_is_asked_for(matching: int, total: int, wanted: int, counts: list[int]):
    assert counts_to_ask(matching, total, wanted) == counts
