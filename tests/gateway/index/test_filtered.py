"""Vector search among given rows finds the nearest of these rows, whether it scans them or asks the graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index import findable
from tandem_gateway.index.filtered import are_among, in_both, nodes_to_find, wider
from tandem_gateway.index.findable import FindableIndex
from tandem_gateway.index.scoring import ranked
from tandem_gateway.records.arrays import Keys, Vectors
from tests.gateway.index.test_builder import DIM, built, numbered, some
from tests.support.fakes import FakeGraphFactory

ROWS = 6000


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Vectors of which some are equal."""
    made = some(ROWS)
    made[100:140] = made[100]
    made[5000:5010] = made[7]
    return made


@pytest.fixture
def index(vectors: Vectors) -> FindableIndex:
    """An index of a base with deleted rows, and of rows that are in no graph yet."""
    made = FindableIndex(DIM, built(UsearchGraphFactory(), vectors[:5500]))
    made.add(numbered(500, 5500), vectors[5500:])
    made.remove(np.arange(0, ROWS, 7, dtype=np.uint64))
    return made


def nearest(vectors: Vectors, query: Vectors, among: Keys, top_k: int) -> list[int]:
    """Return the nearest live rows among others by their scores, ties by row."""
    scores = {row: round(float(vectors[row] @ query), 5) for row in among.tolist() if row % 7}
    return sorted(scores, key=lambda row: (-scores[row], row))[:top_k]


def found(index: FindableIndex, vectors: Vectors, query: Vectors, among: Keys, top_k: int) -> list[int]:
    candidates = index.search_among(query, top_k, among)
    held = {row: vectors[row].astype("<f4").tobytes() for row in candidates.keys}
    assert set(candidates.keys) <= set(among.tolist())
    return [each.passage_id for each in ranked(query, candidates, held, top_k)]


@pytest.mark.parametrize("every", [1, 2, 10, 90, 900, 4000])
@pytest.mark.parametrize("top_k", [1, 10, 100])
def test_the_nearest_rows_among_others_are_found(index: FindableIndex, vectors: Vectors, every: int, top_k: int):
    among = np.arange(1, ROWS, every, dtype=np.uint64)
    hit = wanted = 0
    for query in some(20, seed=5):
        right = nearest(vectors, query, among, top_k)
        right_scores = [float(vectors[row] @ query) for row in right]
        got = found(index, vectors, query, among, top_k)
        assert len(got) == len(right)
        got_scores = [float(vectors[row] @ query) for row in got]
        hit += sum(a >= b - 1e-4 for a, b in zip(got_scores, right_scores, strict=True))
        wanted += len(right)
    # A scan is exact. A graph is nearly so, as it is without a filter.
    few = nodes_to_find(len(among), len(index), top_k + 32) is None
    assert hit == wanted if few else hit >= 0.98 * wanted


@pytest.mark.parametrize("every", [1, 3])
def test_a_vector_is_found_by_itself_among_many_rows(index: FindableIndex, vectors: Vectors, every: int):
    among = np.arange(1, ROWS, every, dtype=np.uint64)
    for row in [each for each in among.tolist() if each % 7][:: 50 // every]:
        got = found(index, vectors, vectors[row], among, 1)
        assert float(vectors[got[0]] @ vectors[row]) > 1 - 1e-3


def test_rows_that_share_a_node_are_found_one_by_one(index: FindableIndex, vectors: Vectors):
    for among in ([101, 120, 139], [120], [100, 138], [5001, 8, 9]):
        rows = np.array(sorted(among), np.uint64)
        query = vectors[among[0]]
        assert found(index, vectors, query, rows, 5) == nearest(vectors, query, rows, 5)


def test_rows_that_no_graph_finds_are_found_among_others():
    vectors = some(50)
    index = FindableIndex(DIM, built(FakeGraphFactory(blind={3, 17}), vectors))
    among = np.array([3, 4, 17, 99], np.uint64)
    for row in (3, 4, 17):
        assert found(index, vectors, vectors[row], among, 3)[0] == row
    assert index.search_among(vectors[3], 3, np.empty(0, np.uint64)).keys == []
    without = FindableIndex(DIM)
    without.add(numbered(50), vectors)
    assert found(without, vectors, vectors[3], among, 1) == [3]


@pytest.mark.parametrize("every", [1, 3, 200])
@pytest.mark.parametrize("top_k", [1, 10, 5000])
def test_the_nearest_rows_without_a_graph_are_found_exactly(vectors: Vectors, every: int, top_k: int):
    index = FindableIndex(DIM)
    index.add(numbered(2000), vectors[:2000])
    index.remove(np.arange(0, 2000, 7, dtype=np.uint64))
    among = np.arange(1, 2000, every, dtype=np.uint64)
    for query in (*some(5, seed=5), vectors[100]):
        right = nearest(vectors, query, among, top_k)
        got = found(index, vectors, query, among, top_k)
        assert len(got) == len(right)
        assert [float(vectors[row] @ query) for row in got] == pytest.approx(
            [float(vectors[row] @ query) for row in right], abs=1e-5
        )


def test_the_graph_goes_on_until_enough_nodes_match(monkeypatch: pytest.MonkeyPatch, vectors: Vectors):
    index = FindableIndex(DIM, built(UsearchGraphFactory(), vectors))
    query = vectors[1]
    # The rows that match are those farthest from the query: the first nodes have none of them.
    order = np.argsort(vectors @ query)
    among = np.sort(order[:2500].astype(np.uint64))
    asked: list[int] = []
    monkeypatch.setattr(findable, "nodes_to_find", lambda matching, total, wanted: 60)
    monkeypatch.setattr(findable, "wider", lambda *numbers: asked.append(numbers[0]) or wider(*numbers))
    got = found(index, vectors, query, among, 5)
    assert asked[0] == 60
    assert len(asked) > 1
    scores = sorted((float(vectors[row] @ query) for row in among.tolist()), reverse=True)
    assert [float(vectors[row] @ query) for row in got] == pytest.approx(scores[:5], abs=1e-4)


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 1100))
def test_the_choice_never_asks_a_graph_for_more_than_a_scan_costs(matching: int, total: int, wanted: int):
    nodes = nodes_to_find(matching, total, wanted)
    if nodes is None:
        return
    assert wanted < nodes < total
    assert nodes < matching
    steps = 0
    while nodes is not None:
        more = wider(nodes, min(wanted - 1, nodes // 2), wanted, matching)
        assert more is None or nodes < more < matching
        nodes, steps = more, steps + 1
    assert steps < 25


@pytest.mark.parametrize(
    ("matching", "total", "scans"),
    [(0, 100_000, True), (100, 100_000, True), (1000, 100_000, True), (10_000, 100_000, False),
     (90_000, 100_000, False), (500, 1000, True), (5000, 1_000_000, True), (500_000, 1_000_000, False)],
)  # fmt: skip
def test_few_rows_are_scanned_and_many_are_found_by_the_graph(matching: int, total: int, scans: bool):
    assert (nodes_to_find(matching, total, 132) is None) == scans


@given(st.lists(st.integers(0, 50), unique=True), st.lists(st.integers(0, 50), unique=True))
def test_rows_are_among_others_if_they_are_in_the_list(keys: list[int], others: list[int]):
    held = are_among(np.array(keys, np.uint64), np.array(sorted(others), np.uint64))
    assert held.tolist() == [key in others for key in keys]


@given(st.sets(st.integers(0, 50)), st.sets(st.integers(0, 50)))
def test_keys_in_both_lists_are_ascending(one: set[int], other: set[int]):
    found = in_both(np.array(sorted(one), np.uint64), np.array(sorted(other), np.uint64))
    assert (found.tolist(), found.dtype) == (sorted(one & other), np.uint64)
