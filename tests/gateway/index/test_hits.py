"""Cached rows equal the store's and stay within the limit; hits descend by cosine."""

import sys
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.hydration import DocumentCache, bytes_of, score
from tandem_gateway.ports.store import ChangeFeed
from tandem_gateway.records.documents import LiveDocument

_ROW_BYTES = 700
ENOUGH = 1 << 30


def row(row_id: int, vector: Sequence[float] = (1.0, 0.0)) -> LiveDocument:
    return LiveDocument(row_id, f"d{row_id}", "t" * 90, "{}", np.array(vector, "<f4").tobytes())


class Feed:
    """Has the rows 0 to 9; records which rows are read."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def documents(self, row_ids: Sequence[int], max_bytes: int | None = None) -> dict[int, LiveDocument]:
        self.read.append(list(row_ids))
        self.max_bytes = max_bytes
        return {row_id: row(row_id) for row_id in row_ids if row_id < 10}


@pytest.fixture
def feed() -> "Feed & ChangeFeed":  # type: ignore[valid-type]
    return Feed()


def whole(*row_ids: int) -> dict[int, bool]:
    """Want rows with their vectors."""
    return dict.fromkeys(row_ids, True)


def test_a_vector_that_nobody_needs_is_not_kept_and_is_read_when_it_is_needed(feed):
    rows = DocumentCache(10 * _ROW_BYTES)
    assert rows.get({1: False}, feed, ENOUGH) == {1: msgspec.structs.replace(row(1), vector=b"")}
    assert rows.kept(whole(1)) is None
    assert rows.get(whole(1), feed, ENOUGH) == {1: row(1)}
    assert rows.kept({1: False}) == {1: row(1)}
    assert rows._bytes == bytes_of(row(1))
    assert feed.read == [[1], [1]]


def test_only_uncached_rows_are_read(feed):
    rows = DocumentCache(10 * _ROW_BYTES)
    assert rows.get(whole(1, 2), feed, ENOUGH) == {1: row(1), 2: row(2)}
    assert rows.get(whole(3, 2, 1), feed, ENOUGH) == {1: row(1), 2: row(2), 3: row(3)}
    assert rows.get(whole(1, 2, 3), feed, ENOUGH) == {1: row(1), 2: row(2), 3: row(3)}
    assert feed.read == [[1, 2], [3]]


def test_rows_missing_from_the_store_are_left_out_and_requested_again(feed):
    rows = DocumentCache(10 * _ROW_BYTES)
    assert rows.get(whole(1, 99), feed, ENOUGH) == {1: row(1)}
    assert rows.get(whole(1, 99), feed, ENOUGH) == {1: row(1)}
    assert feed.read == [[1, 99], [99]]


def test_rows_are_had_from_memory_only_if_all_of_them_are_there(feed):
    rows = DocumentCache(10 * _ROW_BYTES)
    rows.get(whole(1, 2), feed, ENOUGH)
    assert rows.kept(whole(1, 2)) == {1: row(1), 2: row(2)}
    assert rows.kept(whole(1, 2, 3)) is None
    assert rows.kept({}) == {}
    assert feed.read == [[1, 2]]


def test_the_least_recently_used_row_is_evicted_first(feed):
    rows = DocumentCache(3 * _ROW_BYTES)
    for row_id in (1, 2, 3):
        rows.get(whole(row_id), feed, ENOUGH)
    rows.get(whole(1), feed, ENOUGH)
    rows.kept(whole(2))
    rows.get(whole(4), feed, ENOUGH)
    assert [row_id for row_id in range(10) if rows.kept(whole(row_id)) is not None] == [1, 2, 4]


@given(st.lists(st.sets(st.integers(0, 14), max_size=6), max_size=30), st.integers(0, 8))
def test_every_request_gets_the_stores_rows_within_the_bound(asked: list[set[int]], room: int):
    feed, rows = Feed(), DocumentCache(room * _ROW_BYTES)
    for wanted in asked:
        assert rows.get(whole(*wanted), feed, ENOUGH) == {row_id: row(row_id) for row_id in wanted if row_id < 10}  # type: ignore[arg-type]
        assert sum(rows.kept(whole(row_id)) is not None for row_id in range(10)) <= room


def test_rows_that_are_kept_count_for_the_bytes_that_may_be_taken(feed):
    rows = DocumentCache(10 * _ROW_BYTES)
    rows.get(whole(1), feed, ENOUGH)
    rows.get(whole(1, 2), feed, 10_000)
    assert feed.max_bytes == 10_000 - len(row(1).text) - len(row(1).metadata)


def test_a_character_may_take_four_bytes():
    narrow = row(1)
    wide = LiveDocument(1, "d1", "\N{GRINNING FACE}" + "t" * 89, "{}", narrow.vector)
    assert bytes_of(wide) > bytes_of(narrow) + 200


def found(candidates: Candidates, rows: dict[int, LiveDocument], top_k: int = 9) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for hit in score(np.array([1, 0], np.float32), candidates, rows, top_k)]


def test_hits_descend_by_cosine_and_ties_are_ordered_by_row_number():
    rows = {1: row(1, (0.6, 0.8)), 2: row(2, (0.0, 1.0)), 5: row(5, (1.0, 0.0)), 9: row(9, (0.6, 0.8))}
    candidates = Candidates([9, 2, 7, 1, 5], {})
    assert found(candidates, rows) == [("d5", 1.0), ("d1", 0.6), ("d9", 0.6), ("d2", 0.0)]
    for top_k in range(1, 5):
        assert found(candidates, rows, top_k) == found(candidates, rows)[:top_k]


def test_the_vectors_of_candidates_are_used_where_the_index_has_them():
    vectors = np.array([(0.6, 0.8), (9, 9), (1.0, 0.0)], np.float32)
    rows = {key: msgspec.structs.replace(row(key), vector=b"") for key in (9, 5)}
    assert found(Candidates([9, 7, 5], {}, vectors), rows) == [("d5", 1.0), ("d9", 0.6)]


def test_vectors_that_are_equal_but_for_noise_are_ties():
    rows = {1: row(1, (0.6, 0.8)), 9: row(9, (0.600004, 0.799997))}
    assert found(Candidates([9, 1], {}), rows)[0][0] == "d9"
    assert found(Candidates([9, 1], {9: 1}), rows) == [("d1", 0.6), ("d9", 0.6)]


def test_no_cosine_is_beyond_one():
    rows = {1: row(1, (1.0000001, 0.0)), 2: row(2, (-1.0000001, 0.0))}
    assert [each[1] for each in found(Candidates([1, 2], {}), rows)] == [1.0, -1.0]


def test_candidates_without_rows_are_no_hits():
    assert found(Candidates([3], {}), {}) == []


@pytest.mark.parametrize("text", ["plain", "é" * 1_000, "数据库" * 1_000, "🎉" * 1_000, "plain 🎉"])
def test_a_row_has_one_size_also_once_its_text_was_encoded(text: str):
    # Use a new text: CPython keeps the UTF-8 of a text that was encoded.
    read = LiveDocument(1, "d", "".join(text), "{}", b"")
    before = bytes_of(read)
    msgspec.json.encode(read.text)
    assert bytes_of(read) == before >= sys.getsizeof(read.text) - 100


def test_rows_that_are_read_again_do_not_add_up(feed):
    rows = DocumentCache(1 << 20)
    for _ in range(3):
        rows._keep(row(1))
        rows._keep(row(2))
    assert rows._bytes == bytes_of(row(1)) + bytes_of(row(2))
