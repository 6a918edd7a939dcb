"""Passages are ranked by their exact cosine; ties by the order of insertion."""

import numpy as np
import pytest

from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.hydration import hits
from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.scoring import ranked
from tandem_gateway.records.search import Hit, HitPassage, PassageView, RankedPassage

QUERY = np.array([1, 0], np.float32)


def stored(**vectors: tuple[float, float]) -> dict[int, bytes]:
    return {int(name[1:]): np.array(vector, "<f4").tobytes() for name, vector in vectors.items()}


def found(candidates: Candidates, vectors: dict[int, bytes], top_k: int = 9) -> list[tuple[int, float]]:
    passages = ranked(QUERY, candidates, vectors, top_k)
    assert all(each.dense == each.score and each.lexical is None for each in passages)
    return [(each.passage_id, each.score) for each in passages]


def test_passages_descend_by_cosine_and_ties_are_ordered_by_passage_id():
    vectors = stored(p1=(0.6, 0.8), p2=(0.0, 1.0), p5=(1.0, 0.0), p9=(0.6, 0.8))
    candidates = Candidates([9, 2, 7, 1, 5], {})
    assert found(candidates, vectors) == [(5, 1.0), (1, 0.6), (9, 0.6), (2, 0.0)]
    for top_k in range(1, 5):
        assert found(candidates, vectors, top_k) == found(candidates, vectors)[:top_k]


def test_the_vectors_of_candidates_are_used_where_the_index_has_them():
    vectors = np.array([(0.6, 0.8), (1.0, 0.0)], np.float32)
    assert found(Candidates([9, 5], {}, vectors), {}) == [(5, 1.0), (9, 0.6)]


def test_vectors_that_are_equal_but_for_noise_are_ties():
    vectors = stored(p1=(0.6, 0.8), p9=(0.600004, 0.799997))
    assert found(Candidates([9, 1], {}), vectors)[0][0] == 9
    assert found(Candidates([9, 1], {9: 1}), vectors) == [(1, 0.6), (9, 0.6)]


def test_no_cosine_is_beyond_one():
    vectors = stored(p1=(1.0000001, 0.0), p2=(-1.0000001, 0.0))
    assert [each[1] for each in found(Candidates([1, 2], {}), vectors)] == [1.0, -1.0]


def test_a_stored_vector_of_another_length_is_reported_with_its_passage():
    vectors = {**stored(p1=(1.0, 0.0)), 7: b"\0" * 12}
    with pytest.raises(StorageCorrupt, match="passage 7 has 12 bytes, not 8"):
        found(Candidates([1, 7], {}), vectors)


def test_candidates_without_vectors_are_left_out():
    assert found(Candidates([3], {}), {}) == []


def test_hits_keep_the_order_and_leave_out_what_no_longer_exists():
    views = {number: PassageView(number, f"d{number}", f"text {number}", "{}") for number in (1, 2)}
    assert hits([RankedPassage(2, 0.5, dense=0.5), RankedPassage(7, 0.4), RankedPassage(1, 0.1)], views) == [
        Hit("d2", 0.5, "text 2", "{}", dense=0.5, passage=HitPassage(0, 0, 6), best=2, first=2),
        Hit("d1", 0.1, "text 1", "{}", passage=HitPassage(0, 0, 6), best=1, first=1),
    ]
