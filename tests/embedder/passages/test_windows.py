"""Splitting window by window, with splitters of any kind: a good one, and ones that break their promise."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tandem_embedder.passages.windows import window_chars, windows
from tandem_embedder.ports import Span
from tests.embedder.passages.properties import assert_covers

texts = st.text(alphabet="ab. \n\u3000\x1c日🙂", max_size=80)


def words_of(text: str, count: int, overlap: int = 0) -> list[Span]:
    """Pieces of ``count`` words."""
    words = [found.span() for found in re.finditer(r"\S+", text)]
    parts = [words[first : first + count] for first in range(0, len(words), count - overlap)]
    return [Span(part[0][0], part[-1][1]) for part in parts]


def flat(text: str, split, size: int) -> list[Span]:
    return [span for window in windows(text, split, size) for span in window]


def test_a_piece_that_the_window_may_have_cut_starts_the_next_window():
    text = "aa bb cc dd ee ff gg"
    calls: list[str] = []

    def split(part: str) -> Sequence[Span]:
        calls.append(part)
        return words_of(part, 2)

    spans = flat(text, split, 8)
    assert [text[start:end] for start, end in spans] == ["aa bb", "cc dd", "ee ff", "gg"]
    assert calls == ["aa bb cc", "cc dd ee", "ee ff gg"]


def test_one_piece_that_fills_its_window_is_accepted_and_ends_at_white_space():
    text = "aaa bbbb cc ddd"
    spans = flat(text, lambda part: words_of(part, 100), 10)
    assert [text[start:end] for start, end in spans] == ["aaa bbbb", "cc ddd"]


def test_white_space_around_windows_is_skipped():
    text = "a" + " " * 50 + "b \n"
    calls: list[str] = []

    def split(part: str) -> Sequence[Span]:
        calls.append(part)
        return words_of(part, 1)

    assert list(windows(text, split, 10)) == [[Span(0, 1)], [Span(51, 52)]]
    assert calls == ["a", "b"]


@given(texts, st.integers(1, 4), st.integers(1, 20))
@example("\x1c a", 1, 1)
def test_all_of_a_text_is_in_its_passages(text: str, count: int, size: int):
    assert_covers(text, flat(text, lambda part: words_of(part, count), size))


@given(texts, st.integers(2, 4), st.integers(1, 20))
def test_passages_with_overlap_make_progress(text: str, count: int, size: int):
    assert_covers(text, flat(text, lambda part: words_of(part, count, count - 1), size))


@given(texts, st.integers(1, 20), st.data())
def test_a_splitter_that_leaves_out_repeats_or_reorders_loses_nothing(text: str, size: int, data: st.DataObject):
    def split(part: str) -> list[Span]:
        ends = st.tuples(st.integers(0, len(part)), st.integers(0, len(part)))
        return [Span(min(pair), max(pair)) for pair in data.draw(st.lists(ends, max_size=4))]

    assert_covers(text, flat(text, split, size))


def test_a_splitter_that_gives_empty_pieces_does_not_lose_the_end():
    text = "aaaaaaaaaaaaaa   "
    pieces = iter([[], [], [Span(0, 0), Span(1, 1)], [Span(0, 0), Span(3, 3)]])
    assert_covers(text, flat(text, lambda part: next(pieces), 5))


@pytest.mark.parametrize(("capacity", "size"), [(30, 1024), (64, 1024), (254, 4064)])
def test_the_window_grows_with_the_passages(capacity: int, size: int):
    assert window_chars(capacity) == size
