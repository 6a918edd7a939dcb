"""One suite of behaviour over usearch and over the exact stand-in, so that the stand-in may be trusted."""

from pathlib import Path

import numpy as np
import pytest

from tandem_gateway.adapters.usearch_index import UsearchIndexFactory
from tandem_gateway.model import Keys
from tandem_gateway.ports import VectorIndex, VectorIndexFactory
from tests.support.fakes import DIM, ExactIndexFactory, vector_of, vectors_of


@pytest.fixture(params=[UsearchIndexFactory, ExactIndexFactory], ids=["usearch", "exact"])
def factory(request: pytest.FixtureRequest) -> VectorIndexFactory:
    made: VectorIndexFactory = request.param()
    return made


@pytest.fixture
def index(factory: VectorIndexFactory) -> VectorIndex:
    return factory.create(DIM)


def keys(*numbers: int) -> Keys:
    return np.array(numbers, np.uint64)


def fill(index: VectorIndex, *numbers: int) -> None:
    index.add(keys(*numbers), vectors_of([str(number) for number in numbers]))


def nearest(index: VectorIndex, text: object, count: int = 1) -> list[int]:
    (found,) = index.search(vector_of(str(text))[np.newaxis, :], count)
    assert found.dtype == np.uint64
    return [int(key) for key in found]


def test_an_empty_index_finds_nothing(index: VectorIndex):
    assert (len(index), index.dim) == (0, DIM)
    assert nearest(index, 1, 5) == []
    assert len(index.keys()) == 0
    assert index.search(np.empty((0, DIM), np.float32), 5) == []


def test_what_was_added_is_found_first(index: VectorIndex):
    fill(index, *range(1, 51))
    assert len(index) == 50
    assert sorted(index.keys().tolist()) == list(range(1, 51))
    assert [nearest(index, number)[0] for number in range(1, 51)] == list(range(1, 51))


def test_hits_come_in_the_order_of_their_cosines(index: VectorIndex):
    fill(index, *range(1, 101))
    vectors = vectors_of([str(number) for number in range(1, 101)])
    exact = np.argsort(-(vectors @ vector_of("query")))[:10] + 1
    assert nearest(index, "query", 10) == exact.tolist()


@pytest.mark.parametrize(("held", "count", "found"), [(3, 1, 1), (3, 3, 3), (3, 10, 3), (1, 5, 1)])
def test_a_search_finds_no_more_than_asked_and_held(index: VectorIndex, held: int, count: int, found: int):
    fill(index, *range(1, held + 1))
    many = index.search(vectors_of(["a", "b", "c"]), count)
    assert [len(row) for row in many] == [found] * 3
    assert len(nearest(index, "a", count)) == found


def test_queries_of_one_batch_are_answered_each(index: VectorIndex):
    fill(index, 1, 2, 3, 4)
    found = index.search(vectors_of(["4", "2"]), 1)
    assert [row.tolist() for row in found] == [[4], [2]]


def test_a_key_that_is_there_keeps_the_vector_it_has(index: VectorIndex):
    fill(index, 1, 2)
    index.add(keys(1, 3), vectors_of(["other", "3"]))
    assert len(index) == 3
    assert nearest(index, "1") == [1]
    assert nearest(index, "3") == [3]


def test_adding_what_is_all_there_and_adding_nothing_change_nothing(index: VectorIndex):
    fill(index, 1, 2)
    fill(index, 1, 2)
    index.add(keys(), np.empty((0, DIM), np.float32))
    assert len(index) == 2


def test_removed_keys_are_not_found_and_absent_ones_do_not_count(index: VectorIndex):
    fill(index, 1, 2, 3)
    assert index.remove(keys(2, 99)) == 1
    assert index.remove(keys(2)) == 0
    assert index.remove(keys()) == 0
    assert sorted(nearest(index, "2", 5)) == [1, 3]
    assert sorted(index.keys().tolist()) == [1, 3]
    assert len(index) == 2


def test_after_everything_was_removed_it_takes_new_vectors(index: VectorIndex):
    fill(index, 1, 2, 3)
    assert index.remove(keys(1, 2, 3)) == 3
    assert nearest(index, "1", 3) == []
    fill(index, 7)
    assert nearest(index, "1", 3) == [7]


def test_keys_of_the_full_range_are_kept(index: VectorIndex):
    fill(index, 2**63, 2**32 + 1)
    assert sorted(index.keys().tolist()) == [2**32 + 1, 2**63]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_and_nothing_is_added(index: VectorIndex, bad: float):
    vectors = vectors_of(["1", "2"])
    vectors[1, 3] = bad
    with pytest.raises(ValueError, match="finite"):
        index.add(keys(1, 2), vectors)
    assert len(index) == 0


@pytest.mark.parametrize("shape", [(1, DIM), (2, DIM + 1), (3, DIM), (2 * DIM,)])
def test_another_shape_is_refused(index: VectorIndex, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="vectors are"):
        index.add(keys(1, 2), np.ones(shape, np.float32))
    assert len(index) == 0


def test_a_saved_index_is_loaded_as_it_was(factory: VectorIndexFactory, tmp_path: Path):
    index = factory.create(DIM)
    fill(index, *range(1, 41))
    index.remove(keys(7, 8))
    index.save(tmp_path / "index")
    loaded = factory.load(tmp_path / "index", DIM)
    assert sorted(loaded.keys().tolist()) == sorted(index.keys().tolist())
    assert [nearest(loaded, number, 5) for number in range(10)] == [nearest(index, number, 5) for number in range(10)]
    fill(loaded, 7)
    assert nearest(loaded, 7) == [7]


def test_an_empty_index_is_saved_and_loaded(factory: VectorIndexFactory, tmp_path: Path):
    factory.create(DIM).save(tmp_path / "index")
    assert len(factory.load(tmp_path / "index", DIM)) == 0


def test_a_file_of_another_dim_is_refused(factory: VectorIndexFactory, tmp_path: Path):
    index = factory.create(DIM)
    fill(index, 1)
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match=str(DIM)):
        factory.load(tmp_path / "index", DIM + 1)


def test_usearch_searches_a_graph_as_it_scans(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tandem_gateway.adapters.usearch_index._EXACT_BELOW", 0)
    index = UsearchIndexFactory().create(DIM)
    fill(index, *range(1, 301))
    index.remove(keys(*range(1, 100, 3)))
    left = [number for number in range(1, 301) if not (number < 100 and number % 3 == 1)]
    found = [nearest(index, number, 5) for number in left]
    assert [hits[0] for hits in found] == left
    assert {key for hits in found for key in hits} <= set(left)
