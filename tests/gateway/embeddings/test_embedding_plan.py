"""A small request joins the queries; a large one is divided into calls of bounded size."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.use_cases.embedding_plan import SMALL_CHARS, SMALL_TEXTS, divide, lane


def test_the_lane_depends_on_texts_characters_and_kind():
    assert lane(["a"] * SMALL_TEXTS, "query") == "interactive"
    assert lane(["a"] * (SMALL_TEXTS + 1), "query") == "bulk"
    assert lane(["a" * SMALL_CHARS], "query") == "interactive"
    assert lane(["a" * SMALL_CHARS, "b"], "query") == "bulk"
    assert lane(["a"], "document") == "bulk"


def test_texts_are_divided_at_both_limits():
    texts = ["aa", "bb", "cc", "d" * 9, "ee", "ff"]
    assert [texts[part] for part in divide(texts, 3, 5)] == [["aa", "bb"], ["cc"], ["d" * 9], ["ee", "ff"]]
    assert [texts[part] for part in divide(texts, 2, 99)] == [["aa", "bb"], ["cc", "d" * 9], ["ee", "ff"]]
    assert list(divide([], 2, 5)) == []


@given(texts=st.lists(st.text(max_size=8), max_size=30), most_texts=st.integers(1, 6), most_chars=st.integers(1, 20))
def test_parts_are_all_texts_in_order_and_within_the_limits(texts: list[str], most_texts: int, most_chars: int):
    parts = [texts[part] for part in divide(texts, most_texts, most_chars)]
    assert [text for part in parts for text in part] == texts
    for part in parts:
        assert 1 <= len(part) <= most_texts
        assert len(part) == 1 or sum(map(len, part)) <= most_chars
    for part, following in pairwise(parts):  # no part could have been larger
        assert len(part) == most_texts or sum(map(len, [*part, following[0]])) > most_chars
