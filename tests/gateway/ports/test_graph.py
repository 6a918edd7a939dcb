"""One suite over usearch and over the exact fake, so that tests may trust the fake."""

from pathlib import Path

import numpy as np
import pytest

from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.ports.index import Graph, GraphFactory
from tandem_gateway.records.arrays import Keys
from tests.support.fakes import DIM, FakeGraphFactory, vector_of, vectors_of

EFFORT = 64


@pytest.fixture(params=[UsearchGraphFactory, FakeGraphFactory], ids=["usearch", "exact"])
def factory(request: pytest.FixtureRequest) -> GraphFactory:
    made: GraphFactory = request.param()
    return made


@pytest.fixture
def graph(factory: GraphFactory) -> Graph:
    return factory.create(DIM)


def keys(*numbers: int) -> Keys:
    return np.array(numbers, np.uint64)


def fill(graph: Graph, *numbers: int) -> None:
    graph.add(keys(*numbers), vectors_of([str(number) for number in numbers]))


def nearest(graph: Graph, text: object, count: int = 1) -> list[int]:
    (found,) = graph.search(vector_of(str(text))[np.newaxis, :], count, EFFORT)
    return list(found)


def test_an_empty_graph_finds_nothing(graph: Graph):
    assert (len(graph), graph.dim) == (0, DIM)
    assert nearest(graph, 1, 5) == []
    assert len(graph.keys()) == 0
    assert graph.search(np.empty((0, DIM), np.float32), 5, EFFORT) == []
    assert graph.contains(keys(1)).tolist() == [False]


def test_an_added_vector_is_found_first(graph: Graph):
    fill(graph, *range(1, 51))
    assert len(graph) == 50
    assert sorted(graph.keys().tolist()) == list(range(1, 51))
    assert [nearest(graph, number)[0] for number in range(1, 51)] == list(range(1, 51))


def test_hits_come_with_their_cosines_in_descending_order(graph: Graph):
    fill(graph, *range(1, 101))
    cosines = vectors_of([str(number) for number in range(1, 101)]) @ vector_of("query")
    (found,) = graph.search(vector_of("query")[np.newaxis, :], 10, EFFORT)
    assert list(found) == (np.argsort(-cosines)[:10] + 1).tolist()
    for key, score in found.items():
        assert score == pytest.approx(cosines[key - 1], abs=3e-4)


@pytest.mark.parametrize(("held", "count", "found"), [(3, 1, 1), (3, 3, 3), (3, 10, 3), (1, 5, 1)])
def test_a_search_finds_no_more_than_asked_and_held(graph: Graph, held: int, count: int, found: int):
    fill(graph, *range(1, held + 1))
    many = graph.search(vectors_of(["a", "b", "c"]), count, EFFORT)
    assert [len(row) for row in many] == [found] * 3
    assert len(nearest(graph, "a", count)) == found


def test_queries_of_one_batch_are_answered_each(graph: Graph):
    fill(graph, 1, 2, 3, 4)
    found = graph.search(vectors_of(["4", "2"]), 1, EFFORT)
    assert [list(row) for row in found] == [[4], [2]]


def test_adding_nothing_changes_nothing(graph: Graph):
    fill(graph, 1, 2)
    graph.add(keys(), np.empty((0, DIM), np.float32))
    assert len(graph) == 2


def test_keys_of_the_full_range_are_kept(graph: Graph):
    fill(graph, 2**63, 2**32 + 1)
    assert sorted(graph.keys().tolist()) == [2**32 + 1, 2**63]
    assert graph.contains(keys(1, 2**63)).tolist() == [False, True]


def test_vectors_come_back_with_half_precision(graph: Graph):
    fill(graph, 5, 6, 7)
    found = graph.vectors(keys(7, 5))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, vectors_of(["7", "5"]), atol=1e-3)
    assert graph.vectors(keys()).shape == (0, DIM)


@pytest.mark.parametrize("writable", [True, False])
def test_a_saved_graph_is_loaded_as_it_was(factory: GraphFactory, tmp_path: Path, writable: bool):
    graph = factory.create(DIM)
    fill(graph, *range(1, 41))
    graph.save(tmp_path / "graph")
    loaded = factory.load(tmp_path / "graph", DIM, writable=writable)
    assert sorted(loaded.keys().tolist()) == sorted(graph.keys().tolist())
    assert [nearest(loaded, number, 5) for number in range(10)] == [nearest(graph, number, 5) for number in range(10)]
    np.testing.assert_array_equal(loaded.vectors(keys(3)), graph.vectors(keys(3)))
    if writable:
        fill(loaded, 77)
        assert nearest(loaded, 77) == [77]
    else:
        with pytest.raises((RuntimeError, AssertionError)):
            fill(loaded, 77)


def test_a_mapped_graph_answers_after_its_file_was_removed(factory: GraphFactory, tmp_path: Path):
    graph = factory.create(DIM)
    fill(graph, *range(1, 41))
    graph.save(tmp_path / "graph")
    loaded = factory.load(tmp_path / "graph", DIM, writable=False)
    (tmp_path / "graph").unlink()
    assert nearest(loaded, 7) == [7]


def test_an_empty_graph_is_saved_and_loaded(factory: GraphFactory, tmp_path: Path):
    factory.create(DIM).save(tmp_path / "graph")
    assert len(factory.load(tmp_path / "graph", DIM, writable=True)) == 0


def test_a_file_of_another_dim_is_refused(factory: GraphFactory, tmp_path: Path):
    graph = factory.create(DIM)
    fill(graph, 1)
    graph.save(tmp_path / "graph")
    for writable in (True, False):
        with pytest.raises(ValueError, match=str(DIM)):
            factory.load(tmp_path / "graph", DIM + 1, writable=writable)
