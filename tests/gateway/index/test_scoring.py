"""Passages are ranked by their exact cosine; ties by the order of insertion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.hydration import hits
from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.first_passages import FirstPassages
from tandem_gateway.index.scoring import ranked, ranked_documents
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


def test_a_document_has_the_score_of_its_nearest_passage():
    vectors = stored(p1=(0.6, 0.8), p2=(0.0, 1.0), p3=(1.0, 0.0), p4=(0.6, 0.8), p9=(0.6, 0.8))
    firsts = FirstPassages(np.array([3, 9], np.uint64), np.array([2, 4], np.uint64))
    candidates = Candidates([9, 2, 3, 7, 1, 4], {})
    expected = [
        RankedPassage(2, 1.0, 1.0, None, 3),
        RankedPassage(1, 0.6, 0.6, None, 1),
        RankedPassage(4, 0.6, 0.6, None, 4),
    ]
    for top_k in range(1, 5):
        assert ranked_documents(QUERY, candidates, vectors, firsts, top_k) == expected[:top_k]
    assert ranked_documents(QUERY, Candidates([], {}), vectors, firsts, 3) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=30), st.integers(1, 12))
def test_documents_are_ranked_as_their_passages_are(entries: list[tuple[int, int]], top_k: int):
    """Each passage has one of a few documents and of a few vectors, some of which are alike."""
    angles = np.array([angle for _, angle in entries]) / 8
    vectors = {place: np.array([np.cos(a), np.sin(a)], "<f4").tobytes() for place, a in enumerate(angles, 100)}
    later = np.arange(100, 100 + len(entries), dtype=np.uint64)
    firsts = FirstPassages(later, np.array([document for document, _ in entries], np.uint64))
    candidates = Candidates(list(vectors), {})
    best: dict[int, tuple[float, int]] = {}
    for each in ranked(QUERY, candidates, vectors, len(entries)):
        best.setdefault(entries[each.passage_id - 100][0], (each.score, each.passage_id))
    expected = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:top_k]
    found = ranked_documents(QUERY, candidates, vectors, firsts, top_k)
    assert [(each.passage_id, (each.score, each.nearest)) for each in found] == expected


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
