"""What reranking decides, for any numbers."""

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.records.search import RankedPassage
from tandem_gateway.use_cases.rerank_decisions import LEAST_SECONDS, ranking, reordered, search_seconds

seconds = st.floats(-1e6, 1e6)
scores = st.lists(st.floats(0, 1), max_size=30)


@given(seconds, st.floats(0.05, 600))
def test_a_search_leaves_time_for_the_documents_of_its_hits(remaining: float, most: float) -> None:
    given_to = search_seconds(remaining, most)
    if given_to is None:
        assert remaining <= LEAST_SECONDS / 0.8 or most < LEAST_SECONDS
    else:
        assert LEAST_SECONDS <= given_to <= min(most, remaining)
        assert remaining - given_to >= min(0.2 * remaining, 0.5) * 0.999


def test_some_times() -> None:
    assert search_seconds(10.0, 30.0) == 9.5
    assert search_seconds(1.0, 30.0) == 0.8
    assert search_seconds(10.0, 2.0) == 2.0
    assert search_seconds(0.06, 30.0) is None
    assert search_seconds(-1.0, 30.0) is None


@given(scores, st.none() | st.integers(1, 40))
def test_a_ranking_has_the_best_in_descending_order(values: list[float], top_n: int | None) -> None:
    order = ranking(values, top_n)
    assert len(order) == min(len(values), top_n or len(values))
    assert order == sorted(order, key=lambda place: (-values[place], place))
    assert [values[place] for place in order] == sorted(values, reverse=True)[: len(order)]


@given(st.dictionaries(st.integers(0, 20), st.floats(0, 1)), st.lists(st.integers(0, 30), unique=True))
def test_a_reordered_ranking_has_the_same_passages_and_descending_scores(
    known: dict[int, float], passages: list[int]
) -> None:
    ranked = [RankedPassage(each, 2.0 - place / 100, dense=0.5, nearest=each) for place, each in enumerate(passages)]
    found = reordered(ranked, known)
    assert {each.passage_id for each in found} == set(passages)
    assert len(found) == len(passages)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert all(each.dense == 0.5 and each.nearest == each.passage_id for each in found)
    if not known:
        assert found == ranked
        return
    for each in found:
        assert each.rerank == known.get(each.passage_id)
        assert each.score == known.get(each.passage_id, 0.0)
    rest = [each.passage_id for each in found if each.passage_id not in known]
    assert rest == [each for each in passages if each not in known]


def test_equal_scores_keep_their_order() -> None:
    assert ranking([0.5, 0.7, 0.5, 0.7]) == [1, 3, 0, 2]
    ranked = [RankedPassage(number, 1.0 / (1 + number)) for number in range(4)]
    assert [each.passage_id for each in reordered(ranked, {3: 0.4, 1: 0.4, 2: 0.9})] == [2, 1, 3, 0]


@given(st.dictionaries(st.integers(0, 9), st.floats(0, 1), min_size=1), st.integers(0, 10))
def test_a_longer_ranking_begins_with_the_shorter_one(known: dict[int, float], more: int) -> None:
    short = [RankedPassage(number, 1.0) for number in range(10)]
    longer = short + [RankedPassage(100 + number, 0.5) for number in range(more)]
    assert reordered(longer, known)[:10] == reordered(short, known)
