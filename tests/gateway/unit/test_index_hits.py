"""Rows that are kept are the store's, and no more of them than fit; hits descend by cosine."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.index.hits import LiveRows, score
from tandem_gateway.model import LiveDocument
from tandem_gateway.ports import ChangeFeed

_ROW_BYTES = 600


def row(row_id: int, vector: Sequence[float] = (1.0, 0.0)) -> LiveDocument:
    return LiveDocument(row_id, f"d{row_id}", "t" * 90, "{}", np.array(vector, "<f4").tobytes())


class Feed:
    """Has the rows 0 to 9; notes what is read."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def documents(self, row_ids: Sequence[int]) -> dict[int, LiveDocument]:
        self.read.append(list(row_ids))
        return {row_id: row(row_id) for row_id in row_ids if row_id < 10}


@pytest.fixture
def feed() -> "Feed & ChangeFeed":  # type: ignore[valid-type]
    return Feed()


def test_only_what_is_not_kept_is_read(feed):
    rows = LiveRows(10 * _ROW_BYTES)
    assert rows.get({1, 2}, feed) == {1: row(1), 2: row(2)}
    assert rows.get({3, 2, 1}, feed) == {1: row(1), 2: row(2), 3: row(3)}
    assert rows.get({1, 2, 3}, feed) == {1: row(1), 2: row(2), 3: row(3)}
    assert feed.read == [[1, 2], [3]]


def test_what_the_store_does_not_have_is_left_out_and_asked_for_again(feed):
    rows = LiveRows(10 * _ROW_BYTES)
    assert rows.get({1, 99}, feed) == {1: row(1)}
    assert rows.get({1, 99}, feed) == {1: row(1)}
    assert feed.read == [[1, 99], [99]]


def test_rows_are_had_from_memory_only_if_all_of_them_are_there(feed):
    rows = LiveRows(10 * _ROW_BYTES)
    rows.get({1, 2}, feed)
    assert rows.kept({1, 2}) == {1: row(1), 2: row(2)}
    assert rows.kept({1, 2, 3}) is None
    assert rows.kept(()) == {}
    assert feed.read == [[1, 2]]


def test_what_was_not_used_for_longest_goes_first(feed):
    rows = LiveRows(3 * _ROW_BYTES)
    for row_id in (1, 2, 3):
        rows.get({row_id}, feed)
    rows.get({1}, feed)
    rows.kept({2})
    rows.get({4}, feed)
    assert [row_id for row_id in range(10) if rows.kept({row_id}) is not None] == [1, 2, 4]


@given(st.lists(st.sets(st.integers(0, 14), max_size=6), max_size=30), st.integers(0, 8))
def test_whatever_is_asked_the_store_s_rows_are_given_and_the_bound_holds(asked: list[set[int]], room: int):
    feed, rows = Feed(), LiveRows(room * _ROW_BYTES)
    for wanted in asked:
        assert rows.get(wanted, feed) == {row_id: row(row_id) for row_id in wanted if row_id < 10}  # type: ignore[arg-type]
        assert sum(rows.kept({row_id}) is not None for row_id in range(10)) <= room


def test_hits_descend_by_cosine_and_those_alike_by_row_number():
    rows = {1: row(1, (0.6, 0.8)), 2: row(2, (0.0, 1.0)), 5: row(5, (1.0, 0.0)), 9: row(9, (0.6, 0.8))}
    found = score(np.array([1, 0], np.float32), np.array([9, 2, 7, 1, 5], np.uint64), rows)
    assert [hit.doc_id for hit in found] == ["d5", "d1", "d9", "d2"]
    assert [hit.score for hit in found] == pytest.approx([1.0, 0.6, 0.6, 0.0])


def test_no_cosine_is_beyond_one():
    rows = {1: row(1, (1.0000001, 0.0)), 2: row(2, (-1.0000001, 0.0))}
    found = score(np.array([1, 0], np.float32), np.array([1, 2], np.uint64), rows)
    assert [hit.score for hit in found] == [1.0, -1.0]


def test_candidates_without_rows_are_no_hits():
    assert score(np.array([1, 0], np.float32), np.array([3], np.uint64), {}) == []
