"""The base finds every vector that its graphs lose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index import base_arrays
from tandem_gateway.index.base import Base
from tandem_gateway.index.builder import BaseBuilder, Sizes, needs_rebuild
from tandem_gateway.index.findable import FindableIndex
from tandem_gateway.ports.index import Graph, GraphFactory, SavedBase
from tandem_gateway.records.arrays import Keys, Vectors
from tests.support.fakes import FakeGraph, FakeGraphFactory

DIM = 16


def some(count: int, seed: int = 0) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def numbered(count: int, first: int = 0) -> Keys:
    return np.arange(first, first + count, dtype=np.uint64)


def builder(
    factory: GraphFactory, base: Base | None = None, *, graph_from: int = 10, second_graph_from: int = 1000
) -> BaseBuilder:
    return BaseBuilder(DIM, factory, base, sizes=Sizes(graph_from, second_graph_from))


def built(factory: GraphFactory, vectors: Vectors, **sizes: int) -> Base:
    made = builder(factory, **sizes)
    made.add(numbered(len(vectors)), vectors)
    assert made.base is not None
    return made.base


def lost(index: FindableIndex, keys: Keys, vectors: Vectors) -> list[int]:
    """Return the keys that are neither among the candidates for their own vectors nor tied with one of these."""
    vector_of = dict(zip(keys.tolist(), vectors, strict=True))
    found = index.search(vectors, 1)
    return [
        key
        for key, each in zip(keys.tolist(), found, strict=True)
        if key not in each.keys
        and not any(np.square(vector_of[key] - vector_of[other]).sum() < 1e-6 for other in each.keys)
    ]


def test_few_vectors_get_no_graph() -> None:
    made = builder(FakeGraphFactory())
    made.add(numbered(9), some(9))
    assert (made.base, len(made)) == (None, 9)
    made.remove(numbered(1))
    assert len(made) == 8
    made.add(numbered(2, 20), some(2, 1))
    assert made.base is not None
    assert sorted(made.base.live_keys().tolist()) == [*range(1, 9), 20, 21]


def test_a_vector_that_the_graph_does_not_find_is_found_all_the_same() -> None:
    vectors = some(50)
    base = built(FakeGraphFactory(blind={3, 17}), vectors)
    assert base.stray_nodes == {3, 17}
    index = FindableIndex(DIM, base)
    assert lost(index, numbered(50), vectors) == []
    assert (index.strays, index.exact, len(index)) == (2, 2, 50)


def test_a_deleted_stray_is_not_found() -> None:
    base = built(FakeGraphFactory(blind={3}), some(50))
    index = FindableIndex(DIM, base)
    assert index.remove(numbered(1, 3)) == 1
    assert 3 not in index.search(some(50)[3:4], 50)[0].keys
    assert (len(index), index.exact) == (49, 0)
    made = builder(FakeGraphFactory(), built(FakeGraphFactory(blind={3}), some(50)))
    made.remove(numbered(1, 3))
    assert made.base is not None
    assert 3 not in made.base.strays


def test_many_strays_get_a_graph_of_their_own_and_its_strays_are_exact() -> None:
    blind = set(range(0, 40, 2))

    class SecondSees(FakeGraphFactory):
        """The first graph never finds the even keys; the second one never finds key 4."""

        def create(self, dim: int):  # type: ignore[no-untyped-def]
            graph = super().create(dim)
            graph.blind, self.blind = self.blind, {4}
            return graph

    vectors = some(100)
    base = built(SecondSees(blind=blind), vectors, second_graph_from=10)
    assert [len(graph) for graph in base.graphs] == [100, 20]
    assert base.stray_nodes == {4}
    index = FindableIndex(DIM, base)
    assert lost(index, numbered(100), vectors) == []
    assert (index.strays, index.exact) == (21, 1)


def test_the_sweep_finds_vectors_that_a_later_addition_hides() -> None:
    blind: set[int] = set()
    made = builder(FakeGraphFactory(blind=blind))
    vectors = some(60)
    made.add(numbered(60), vectors)
    blind |= {5, 40}
    assert made.base is not None
    assert lost(FindableIndex(DIM, made.base), numbered(60), vectors) == [5, 40]
    made.sweep(seconds=60)
    assert made.base.sweep.unproven == 0
    assert lost(FindableIndex(DIM, made.base), numbered(60), vectors) == []


def test_a_sweep_continues_where_its_time_ended() -> None:
    blind: set[int] = set()
    made = builder(FakeGraphFactory(blind=blind))
    count = 1600
    made.add(numbered(count), some(count))
    blind.add(count - 1)
    ticks = iter(range(100))

    def clock() -> float:
        return float(next(ticks))

    assert made.base is not None
    made.sweep(seconds=1.5, clock=clock)  # one block
    assert 0 < made.base.sweep.next_key < count
    assert made.base.sweep.unproven == count
    resumed = builder(FakeGraphFactory(blind=blind), base_arrays.restore(base_arrays.save(made.base)))
    resumed.sweep(seconds=60)
    assert resumed.base is not None
    assert resumed.base.sweep.unproven == 0
    assert resumed.base.stray_nodes == {count - 1}


def test_an_addition_during_a_sweep_asks_for_another() -> None:
    made = builder(FakeGraphFactory())
    made.add(numbered(1200), some(1200))
    assert made.base is not None
    ticks = iter(range(100))
    made.sweep(seconds=1.5, clock=lambda: float(next(ticks)))
    made.add(numbered(10, 2000), some(10, 7))
    made.sweep(seconds=1e9, clock=lambda: 0.0)
    assert made.base.sweep.unproven == 0
    assert made.base.sweep.proven == 1210


@pytest.mark.parametrize("first", ["in one call", "in two calls"])
def test_equal_vectors_share_a_node(first: str) -> None:
    vectors = some(30)
    vectors[5:25] = vectors[5] + np.random.default_rng(1).normal(0, 3e-9, (20, DIM)).astype(np.float32)
    made = builder(FakeGraphFactory())
    middle = 30 if first == "in one call" else 12
    made.add(numbered(middle), vectors[:middle])
    made.add(numbered(30 - middle, middle), vectors[middle:])
    base = made.base
    assert base is not None
    assert len(base.graphs[0]) == 11
    assert base.groups == {5: list(range(5, 25))}
    assert (base.rows, base.live, len(made)) == (30, 30, 30)
    index = FindableIndex(DIM, base)
    (found,) = index.search(vectors[5:6], 7)
    assert set(range(5, 12)) <= set(found.keys)
    assert found.alike == dict.fromkeys(range(6, 12), 5)


def test_a_group_lives_on_without_the_row_that_its_node_has_the_number_of() -> None:
    vectors = some(30)
    vectors[5:10] = vectors[5]
    base = built(FakeGraphFactory(), vectors)
    index = FindableIndex(DIM, base)
    assert index.remove(numbered(2, 5)) == 2
    assert set(index.search(vectors[5:6], 3)[0].keys) >= {7, 8, 9}
    assert sorted(index.keys().tolist()) == [*range(5), *range(7, 30)]
    assert len(index) == 28
    # A later row with the same vector joins the group; the group's node still exists.
    made = builder(FakeGraphFactory(), base)
    made.add(numbered(1, 50), vectors[5:6])
    assert len(base.graphs[0]) == 26
    assert base.live_rows(5) == [7, 8, 9, 50]


def test_a_group_that_is_a_stray_is_found_with_each_of_its_rows() -> None:
    vectors = some(40)
    vectors[5:9] = vectors[5]
    made = builder(FakeGraphFactory(blind={5}))
    made.add(numbered(40), vectors)
    assert made.base is not None
    made.remove(numbered(1, 5))
    made.add(numbered(1, 60), vectors[5:6])
    index = FindableIndex(DIM, made.base)
    found = index.search(vectors[5:6], 10)[0].keys
    assert {6, 7, 8, 60} <= set(found)
    assert 5 not in found
    # All rows are removed, and a new one has the vector: search finds it, although the graph does not find its node.
    made.remove(np.array([6, 7, 8, 60], np.uint64))
    made.add(numbered(1, 70), vectors[5:6])
    assert 70 in FindableIndex(DIM, made.base).search(vectors[5:6], 1)[0].keys


def test_strays_keep_the_precision_of_the_store() -> None:
    vectors = some(50)
    blind: set[int] = set()
    made = BaseBuilder(
        DIM,
        FakeGraphFactory(blind=blind),
        exact_vectors=lambda rows: {row: vectors[row] for row in rows},
        sizes=Sizes(10),
    )
    made.add(numbered(50), vectors)
    blind.add(9)
    made.sweep(seconds=60)
    assert made.base is not None
    np.testing.assert_array_equal(made.base.strays.vectors([9]), vectors[9:10])


@pytest.mark.parametrize(
    ("dead", "rows", "due"), [(0, 0, False), (999, 1000, False), (1000, 4000, False), (1001, 4000, True)]
)
def test_a_base_is_rebuilt_when_a_quarter_of_it_and_a_thousand_rows_are_deleted(
    dead: int, rows: int, due: bool
) -> None:
    assert needs_rebuild(dead, rows) is due


def test_an_invalid_vector_is_refused() -> None:
    made = builder(FakeGraphFactory())
    with pytest.raises(ValueError, match="vectors are"):
        made.add(numbered(2), some(3))
    bad = some(2)
    bad[1, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        made.add(numbered(2), bad)


def test_a_base_is_the_same_after_it_was_saved() -> None:
    vectors = some(80)
    vectors[10:15] = vectors[10]
    made = builder(FakeGraphFactory(blind={20, 21}))
    made.add(numbered(80), vectors)
    made.remove(numbered(3, 12))
    made.sweep(seconds=60)
    assert made.base is not None
    again = base_arrays.restore(base_arrays.save(made.base))
    assert again.groups == made.base.groups
    assert again.node_of == made.base.node_of
    assert (again.dead, again.stray_nodes, again.sweep) == (made.base.dead, made.base.stray_nodes, made.base.sweep)
    assert sorted(again.strays.keys().tolist()) == sorted(made.base.strays.keys().tolist())
    assert sorted(again.live_keys().tolist()) == sorted(made.base.live_keys().tolist())


@pytest.mark.parametrize("missing", ["dead", "sweep", "group_sizes", "strays"])
def test_arrays_that_do_not_fit_together_are_refused(missing: str) -> None:
    whole = base_arrays.save(built(FakeGraphFactory(), some(20)))
    arrays = {name: array for name, array in whole.arrays.items() if name != missing}
    with pytest.raises(ValueError, match="do not fit together"):
        base_arrays.restore(SavedBase(whole.graphs, arrays))


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 8)),
        st.tuples(st.just("copy"), st.integers(0, 30)),
        st.tuples(st.just("remove"), st.integers(0, 60)),
        st.tuples(st.just("hide"), st.integers(0, 60)),
        st.tuples(st.just("sweep"), st.just(0)),
        st.tuples(st.just("save"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(operations=operations, second=st.sampled_from([3, 1000]))
def test_every_live_vector_is_always_found(operations: list[tuple[str, int]], second: int) -> None:
    """A model of the index: a builder, and a reader that loaded its last save and has followed the store since."""
    blind: set[int] = set()
    factory = FakeGraphFactory(blind=blind)
    made = builder(factory, graph_from=6, second_graph_from=second)
    index = FindableIndex(DIM)
    held: dict[int, Vectors] = {}
    number = 0

    def add(vectors: Vectors) -> None:
        nonlocal number
        keys = numbered(len(vectors), number)
        number += len(vectors)
        held.update(zip(keys.tolist(), vectors, strict=True))
        made.add(keys, vectors)
        index.add(keys, vectors)

    for what, value in operations:
        if what == "add":
            add(some(value, number))
        elif what == "copy" and held:
            add(held[sorted(held)[value % len(held)]][None])
        elif what == "remove" and held:
            key = sorted(held)[value % len(held)]
            del held[key]
            assert made.remove(numbered(1, key)) == 1
            assert index.remove(numbered(1, key)) == 1
        elif what == "hide" and number:
            blind.add(value % number)  # as an addition may hide another vector
            add(some(1, number))
        elif what == "save" and made.base is not None:
            made.sweep(seconds=60)
            index = FindableIndex(DIM, published(made.base))
        assert len(index) == len(made) == len(held)
    assert sorted(index.keys().tolist()) == sorted(held)
    for key, vector in held.items():
        (found,) = index.search(vector[None], len(held))
        assert set(found.keys) == set(held), key
        (found,) = index.search(vector[None], 1)
        assert any(np.allclose(held[other], vector, atol=1e-6) for other in found.keys), key


def published(base: Base) -> Base:
    """Return a copy of a base that later additions do not change, like a saved one."""
    copy = base_arrays.save(base)
    graphs: list[Graph] = []
    for graph in copy.graphs:
        assert isinstance(graph, FakeGraph)
        frozen = FakeGraph(DIM, blind=set(graph.blind))
        frozen.add(graph.keys(), graph.vectors(graph.keys()))
        graphs.append(frozen)
    return base_arrays.restore(SavedBase(graphs, copy.arrays))


def strays_of(factory: GraphFactory, vectors: Vectors) -> tuple[FindableIndex, list[int]]:
    stored = dict(enumerate(vectors))
    made = BaseBuilder(
        vectors.shape[1], factory, exact_vectors=lambda rows: {row: stored[row] for row in rows}, sizes=Sizes(10)
    )
    keys = numbered(len(vectors))
    for start in range(0, len(vectors), 100):
        made.add(keys[start : start + 100], vectors[start : start + 100])
    made.sweep(seconds=600)
    assert made.base is not None
    index = FindableIndex(vectors.shape[1], made.base)
    return index, lost(index, keys, vectors)


def table_like(rows: int, columns: int, values: int, noise: float) -> Vectors:
    """Return vectors like rows of a table: they share a large part, and columns often have the same values."""
    rng = np.random.default_rng(1)
    common, meanings = rng.standard_normal(32), rng.standard_normal((columns, values, 32))
    often = 1 / np.arange(1, values + 1) ** 1.2
    found = common * 3 + sum(meanings[c][rng.choice(values, rows, p=often / often.sum())] for c in range(columns))
    found = found + noise * rng.standard_normal((rows, 32))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "values", "noise"), [(4, 30, 0.02), (3, 200, 0.01)])
def test_a_real_graph_loses_vectors_and_the_index_does_not(columns: int, values: int, noise: float) -> None:
    vectors = table_like(4000, columns, values, noise)
    graph = UsearchGraphFactory().create(32)
    graph.add(numbered(4000), vectors)
    alone = [key not in found for key, found in enumerate(graph.search(vectors, 8, 96))]
    assert sum(alone) > 10, "this graph loses nothing: the test says nothing"
    index, missing = strays_of(UsearchGraphFactory(), vectors)
    assert missing == []
    assert len(index) == 4000
    assert index.strays > 10


def test_copies_do_not_hide_their_neighbours_in_a_real_graph() -> None:
    vectors = some(3400)
    vectors[3000:] = vectors[0]
    near = vectors[0] + 0.1 * some(1, 99)[0]
    near /= np.linalg.norm(near)
    vectors = np.concatenate([vectors, near[None]])
    index, missing = strays_of(UsearchGraphFactory(), vectors)
    assert missing == []
    assert 3400 in index.search(near[None], 1)[0].keys
    # Deleted copies hide no vector either.
    index.remove(np.array([0, *range(3000, 3400)], np.uint64))
    assert 3400 in index.search(vectors[:1], 1)[0].keys
