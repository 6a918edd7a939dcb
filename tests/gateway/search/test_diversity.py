"""Maximal marginal relevance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.records.arrays import Vectors
from tandem_gateway.use_cases.diversity import diversified, shares
from tests.support.fakes import vectors_of

relevances = st.lists(st.floats(-1.0, 1.0), max_size=25).map(lambda scores: sorted(scores, reverse=True))


def vectors(count: int, kinds: int) -> Vectors:
    """Return vectors of so many kinds: equal ones, and the last kind is zeros."""
    made = vectors_of([f"text {place % kinds}" for place in range(count)]) if count else np.zeros((0, 8), np.float32)
    made[kinds - 1 :: kinds] = 0.0
    return made


@given(relevances, st.integers(1, 30))
def test_without_diversity_the_order_is_unchanged(relevance: list[float], kinds: int):
    assert diversified(relevance, vectors(len(relevance), kinds), 0.0) == list(range(len(relevance)))


@given(relevances, st.integers(1, 30), st.floats(0.0, 1.0))
def test_every_passage_is_there_once_and_the_best_comes_first(relevance: list[float], kinds: int, diversity: float):
    order = diversified(relevance, vectors(len(relevance), kinds), diversity)
    assert sorted(order) == list(range(len(relevance)))
    assert order[:1] == [0][: len(relevance)]


@given(relevances, st.integers(1, 30), st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]))
def test_the_order_is_that_of_the_formula(relevance: list[float], kinds: int, diversity: float):
    given_vectors = vectors(len(relevance), kinds)
    order = diversified(relevance, given_vectors, diversity)
    for place in range(1, len(order)):  # each choice is as good as the formula's, from the same beginning
        before, left = order[:place], order[place:]

        def gain(candidate: int, before: list[int] = before) -> float:
            alike = max(float(np.dot(given_vectors[candidate].astype(float), given_vectors[each])) for each in before)
            return (1 - diversity) * relevance[candidate] - diversity * alike

        assert gain(order[place]) == pytest.approx(max(map(gain, left)), abs=1e-9)


def test_a_copy_comes_after_others():
    given_vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert diversified([0.9, 0.8, 0.3], given_vectors, 0.2) == [0, 1, 2]
    assert diversified([0.9, 0.8, 0.3], given_vectors, 0.5) == [0, 2, 1]


def test_scores_of_words_count_as_shares_of_the_first():
    assert shares([8.0, 4.0, 1.0]) == [1.0, 0.5, 0.125]
    assert shares([]) == []
