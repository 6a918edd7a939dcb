"""Fusion of two rankings into one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.records.search import KeywordCandidates, RankedPassage
from tandem_gateway.use_cases.fusion import DEFAULT_FUSION, Fusion, FusionMethod, fuse


def dense(**cosines: float) -> list[RankedPassage]:
    return [RankedPassage(int(name[1:]), score, dense=score) for name, score in cosines.items()]


def lexical(weight: float = 8.0, **scores: float) -> KeywordCandidates:
    passages = [RankedPassage(int(name[1:]), score, lexical=score) for name, score in scores.items()]
    return KeywordCandidates(passages, weight)


def scored(ranked: list[RankedPassage]) -> dict[int, float]:
    return {each.passage_id: pytest.approx(each.score) for each in ranked}


def test_relative_fusion_scales_cosines_by_their_range_and_word_scores_by_the_querys_weight():
    fusion = Fusion("relative", dense=0.25, lexical=0.75)
    fused = fuse(dense(p1=0.9, p2=0.6, p3=0.5), lexical(8.0, p2=8.0, p4=2.0), fusion)
    assert scored(fused) == {2: 0.25 * 0.25 + 0.75, 1: 0.25, 4: 0.75 * 0.25, 3: 0.0}
    assert [each.passage_id for each in fused] == [2, 1, 4, 3]


def test_words_that_most_documents_have_count_for_little_in_relative_fusion():
    assert fuse(dense(p1=0.5, p2=0.1), lexical(20.0, p2=2.0))[0].passage_id == 1
    assert scored(fuse([], lexical(0.0, p2=2.0))) == {2: 0.0}


def test_reciprocal_rank_fusion_counts_ranks_alone():
    fused = fuse(dense(p1=0.9, p2=0.1), lexical(p2=8.0), Fusion("rrf", dense=1, lexical=1, k=60))
    assert scored(fused) == {2: (61 / 62 + 1) / 2, 1: 0.5}


def test_distribution_based_fusion_scales_by_mean_and_deviation():
    fused = fuse(dense(p1=0.9, p2=0.7), lexical(p3=4.0), Fusion("dbsf", dense=1, lexical=1))
    # One deviation above and below the mean; a single score has no distribution and counts as its mean.
    assert scored(fused) == {1: (1 + 3) / 6 / 2, 2: (-1 + 3) / 6 / 2, 3: 0.25}


def test_each_passage_keeps_the_score_of_each_retriever():
    fused = fuse(dense(p1=0.9, p2=0.6), lexical(p2=8.0, p3=2.0))
    assert {each.passage_id: (each.dense, each.lexical) for each in fused} == {
        1: (0.9, None),
        2: (0.6, 8.0),
        3: (None, 2.0),
    }


def test_the_only_document_with_a_rare_word_is_first_by_default():
    nearest = dense(**{f"p{number}": 0.9 - number / 1000 for number in range(1, 101)})
    assert fuse(nearest, lexical(8.0, p500=7.5))[0].passage_id == 500
    others = {f"p{number}": 0.4 for number in range(1, 100)}
    assert fuse(nearest, lexical(8.0, p500=7.5, **others))[0].passage_id == 500


@pytest.mark.parametrize("method", ["relative", "rrf", "dbsf"])
def test_equal_scores_are_ordered_by_insertion(method: FusionMethod):
    fused = fuse(dense(p7=0.5, p9=0.5), lexical(p7=2.0, p9=2.0), Fusion(method))
    if method != "rrf":
        assert [each.passage_id for each in fused] == [7, 9]
        assert fused[0].score == fused[1].score
    assert fuse([], lexical(), Fusion(method)) == []


ids = st.lists(st.integers(1, 40), unique=True, max_size=20)


def ranking(passage_ids: list[int], scores: list[float]) -> list[RankedPassage]:
    return [RankedPassage(*each) for each in zip(passage_ids, sorted(scores, reverse=True), strict=False)]


rankings = st.builds(ranking, ids, st.lists(st.floats(-1, 1), min_size=20, max_size=20))
word_rankings = st.builds(
    KeywordCandidates,
    st.builds(ranking, ids, st.lists(st.floats(1e-6, 100), min_size=20, max_size=20)),
    st.floats(0, 1000),
)
weights = st.floats(0.01, 1000)


@given(
    rankings, word_rankings, st.builds(Fusion, st.sampled_from(["relative", "rrf", "dbsf"]), weights, weights,
                                       st.integers(1, 1000))
)  # fmt: skip
def test_a_fused_ranking_has_each_passage_once_by_descending_score(
    first: list[RankedPassage], second: KeywordCandidates, fusion: Fusion
):
    fused = fuse(first, second, fusion)
    assert {each.passage_id for each in fused} == {each.passage_id for each in [*first, *second.passages]}
    assert len(fused) == len({each.passage_id for each in fused})
    assert [(-each.score, each.passage_id) for each in fused] == sorted((-e.score, e.passage_id) for e in fused)
    assert all(math.isfinite(each.score) and 0 <= each.score <= 1 for each in fused)


@given(rankings, word_rankings, weights)
def test_only_the_ratio_of_the_weights_matters(first: list[RankedPassage], second: KeywordCandidates, factor: float):
    scaled = Fusion(dense=DEFAULT_FUSION.dense * factor, lexical=DEFAULT_FUSION.lexical * factor)
    expected = {each.passage_id: each.score for each in fuse(first, second)}
    assert {each.passage_id: each.score for each in fuse(first, second, scaled)} == pytest.approx(expected, abs=1e-9)
