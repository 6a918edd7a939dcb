"""The metrics of `tandem eval`, against trec_eval and by hand."""

import math

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from tandem_cli.evaluation.metrics import difference, interval, ndcg, recall, reciprocal_rank

IDS = st.sampled_from([f"d{number}" for number in range(12)])
RANKINGS = st.lists(IDS, unique=True, max_size=12)
JUDGED = st.dictionaries(IDS, st.integers(0, 3), min_size=1).filter(lambda grades: any(grades.values()))


def test_by_hand() -> None:
    judged = {"a": 3, "b": 1, "c": 0}
    assert ndcg(["b", "x", "a"], judged, 10) == pytest.approx((1 + 3 / 2) / (3 + 1 / math.log2(3)))
    assert recall(["x", "b", "a"], judged, 2) == 0.5
    assert reciprocal_rank(["x", "c", "a"], judged, 10) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x", "c", "a"], judged, 2) == 0
    assert (ndcg([], judged, 10), recall([], judged, 10), reciprocal_rank([], judged, 10)) == (0, 0, 0)


@given(ranking=RANKINGS, judged=JUDGED)
def test_they_are_those_of_trec_eval(ranking: list[str], judged: dict[str, int]) -> None:
    if not ranking:
        return
    run = {"q": {key: float(len(ranking) - place) for place, key in enumerate(ranking)}}
    expected = pytrec_eval.RelevanceEvaluator({"q": judged}, {"ndcg_cut_10", "recall_5", "recip_rank"}).evaluate(run)[
        "q"
    ]
    assert ndcg(ranking, judged, 10) == pytest.approx(expected["ndcg_cut_10"])
    assert recall(ranking, judged, 5) == pytest.approx(expected["recall_5"])
    assert reciprocal_rank(ranking, judged, 12) == pytest.approx(expected["recip_rank"])


@given(ranking=RANKINGS, judged=JUDGED, k=st.integers(1, 12))
def test_each_is_from_0_to_1_and_the_ideal_ranking_has_1(ranking: list[str], judged: dict[str, int], k: int) -> None:
    for metric in (ndcg, recall, reciprocal_rank):
        assert 0 <= metric(ranking, judged, k) <= 1 + 1e-9
    ideal = sorted(judged, key=lambda key: -judged[key])
    assert ndcg(ideal, judged, k) == pytest.approx(1)
    assert reciprocal_rank(ideal, judged, k) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 5))
def test_an_interval_holds_the_values_it_is_made_of(values: list[float], seed: int) -> None:
    found = interval(values, samples=100, seed=seed)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found.mean == pytest.approx(math.fsum(values) / len(values))
    assert found == interval(values, samples=100, seed=seed)


def test_equal_values_have_no_width_and_more_queries_make_an_interval_narrower() -> None:
    assert (interval([0.5] * 9).low, interval([0.5] * 9).high) == (0.5, 0.5)
    few, many = interval([0.0, 1.0] * 5), interval([0.0, 1.0] * 500)
    assert many.high - many.low < few.high - few.low
    assert few.low < 0.5 < few.high


def test_a_difference_is_of_pairs() -> None:
    """Each query is better by the same amount, so the interval has no width although the values differ."""
    found = difference([0.1, 0.5, 0.8], [0.2, 0.6, 0.9])
    assert (found.low, found.mean, found.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="shorter"):
        difference([0.1, 0.2], [0.1])
