"""The exact overlay is an exact search; the order of its hits depends only on the rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.index.overlay import ExactOverlay, exact_scores
from tandem_gateway.records.arrays import Vectors

DIM = 16


def unit(rows: np.ndarray) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some(count: int, seed: int = 0, kinds: int | None = None) -> Vectors:
    """Return unit vectors; at most ``kinds`` different ones if it is given."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((kinds or count, DIM)))
    return rows[rng.integers(0, len(rows), count)] if kinds else rows


def keys(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def filled(vectors: Vectors, numbers: np.ndarray | None = None) -> ExactOverlay:
    overlay = ExactOverlay(DIM)
    overlay.add(np.arange(len(vectors), dtype=np.uint64) if numbers is None else numbers, vectors)
    return overlay


def nearest(overlay: ExactOverlay, query: Vectors, top: int) -> tuple[list[int], list[float]]:
    """Return the first keys that a search returns, sorted as hits are, and their scores."""
    found, scores = overlay.search(query[None], top)[0]
    assert min(top, len(overlay)) <= len(found) <= top + 32
    exact = exact_scores(overlay.vectors(found.tolist()), query)
    np.testing.assert_allclose(scores, exact, atol=2e-6)
    order = np.lexsort((found, -exact))[:top]
    return found[order].tolist(), exact[order].tolist()


def test_an_empty_overlay_finds_nothing() -> None:
    found, scores = ExactOverlay(DIM).search(some(1), 5)[0]
    assert (len(found), len(scores)) == (0, 0)


@given(
    count=st.integers(1, 300), top=st.integers(1, 40), seed=st.integers(0, 1000), kinds=st.sampled_from([None, 1, 3])
)
def test_it_finds_the_same_as_a_comparison_with_all(count: int, top: int, seed: int, kinds: int | None) -> None:
    vectors, (query,) = some(count, seed, kinds), some(1, seed + 1)
    exact = exact_scores(vectors, query)
    order = sorted(range(count), key=lambda place: (-exact[place], place))[:top]
    assert nearest(filled(vectors), query, top) == (order, exact[order].tolist())


@given(count=st.integers(1, 200), seed=st.integers(0, 1000), kinds=st.sampled_from([None, 1, 4]))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(count: int, seed: int, kinds: int | None) -> None:
    overlay, (query,) = filled(some(count, seed, kinds)), some(1, seed + 1)
    longest, _ = nearest(overlay, query, count)
    for top in (1, 2, 5, 50):
        assert nearest(overlay, query, top)[0] == longest[:top]


def test_ties_are_ordered_by_key_independent_of_insertion() -> None:
    overlay = filled(some(200, kinds=1), np.array(np.random.default_rng(1).permutation(200), np.uint64))
    assert nearest(overlay, some(1, kinds=1)[0], 7)[0] == list(range(7))


def test_each_query_of_a_batch_has_its_own() -> None:
    vectors = some(300)
    overlay = filled(vectors)
    for place, (found, _) in enumerate(overlay.search(vectors[:40], 1)):
        assert found.tolist() == [place]


def test_a_score_does_not_depend_on_the_other_rows() -> None:
    vectors, query = some(500), some(1, 9)[0]
    alone = [exact_scores(vectors[place : place + 1], query)[0] for place in range(500)]
    assert exact_scores(vectors, query).tolist() == alone
    assert exact_scores(vectors[100:137], query).tolist() == alone[100:137]


def test_noise_of_repeated_embedding_makes_ties() -> None:
    (vector,) = some(1)
    noisy = vector + np.random.default_rng(2).normal(0, 1e-9, (50, DIM)).astype(np.float32)
    assert set(exact_scores(noisy, vector).tolist()) == {1.0}


steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 30)), max_size=120)


@given(steps=steps)
def test_it_holds_the_added_keys_that_were_not_removed(steps: list[tuple[str, int]]) -> None:
    vectors = some(31)
    overlay, model = ExactOverlay(DIM), set[int]()
    for step, number in steps:
        if step == "add":
            assert overlay.add(keys(number), vectors[number : number + 1]) == (number not in model)
            model.add(number)
        else:
            assert overlay.remove(number) == (number in model)
            model.discard(number)
        assert len(overlay) == len(model)
    assert set(overlay.keys().tolist()) == model
    for number in model:
        assert number in overlay
        assert nearest(overlay, vectors[number], 1)[0] == [number]
    if model:
        numbers = sorted(model)
        np.testing.assert_array_equal(overlay.vectors(numbers), vectors[numbers])


def test_a_key_that_is_there_keeps_its_vector() -> None:
    overlay = filled(some(3))
    assert overlay.add(keys(1, 7, 7), some(3, seed=5)) == 1
    np.testing.assert_array_equal(overlay.vectors([1]), some(3)[1:2])
    np.testing.assert_array_equal(overlay.vectors([7]), some(3, seed=5)[1:2])
