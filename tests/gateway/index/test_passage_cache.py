"""Cached passages equal the store's and stay within the limit."""

import sys
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.index.lru import ByteLimitedCache
from tandem_gateway.index.passage_cache import PassageCache, bytes_of
from tandem_gateway.ports.passages import NO_METADATA
from tandem_gateway.records.search import PassageView

_PASSAGE_BYTES = 700
ENOUGH = 1 << 30


def passage(passage_id: int, texts: bool = True, metadata: bool = True) -> PassageView:
    of_document = '{"n":1}' if metadata else NO_METADATA
    return PassageView(passage_id, f"d{passage_id}", "t" * 90 if texts else "", of_document)


class Reader:
    """Implements ``PassageReader``: has the passages 0 to 9, and records which are read."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def passages(
        self, passage_ids: Sequence[int], max_bytes: int | None = None, *, texts: bool = True, metadata: bool = True
    ) -> dict[int, PassageView]:
        self.read.append(list(passage_ids))
        self.max_bytes = max_bytes
        return {passage_id: passage(passage_id, texts, metadata) for passage_id in passage_ids if passage_id < 10}


@pytest.fixture
def reader() -> Reader:
    return Reader()


def whole(*passage_ids: int) -> dict[int, PassageView]:
    return {passage_id: passage(passage_id) for passage_id in passage_ids}


def test_only_uncached_passages_are_read(reader: Reader):
    passages = PassageCache(10 * _PASSAGE_BYTES)
    assert passages.get([1, 2], reader, ENOUGH) == whole(1, 2)
    assert passages.get([3, 2, 1], reader, ENOUGH) == whole(1, 2, 3)
    assert passages.get([1, 2, 3], reader, ENOUGH) == whole(1, 2, 3)
    assert reader.read == [[1, 2], [3]]


def test_passages_without_texts_are_not_kept(reader: Reader):
    passages = PassageCache(10 * _PASSAGE_BYTES)
    assert passages.get([1], reader, ENOUGH, texts=False) == {1: passage(1, texts=False)}
    assert passages.get([1], reader, ENOUGH) == whole(1)
    assert passages.get([1, 2], reader, ENOUGH, texts=False) == {n: passage(n, texts=False) for n in (1, 2)}
    assert passages.get([1], reader, ENOUGH) == whole(1)
    assert reader.read == [[1], [1], [2]]


def test_passages_without_metadata_are_kept_apart(reader: Reader):
    passages = PassageCache(10 * _PASSAGE_BYTES)
    bare = {number: passage(number, metadata=False) for number in (1, 2)}
    assert passages.get([1], reader, ENOUGH, metadata=False) == {1: bare[1]}
    assert passages.kept([1]) is None  # no search gets metadata that was left out
    assert passages.get([1, 2], reader, ENOUGH, metadata=False) == bare
    assert passages.kept([2, 1], metadata=False) == bare
    assert passages.get([1], reader, ENOUGH) == whole(1)
    assert passages.kept([1, 2], metadata=False) == bare
    assert passages.get([3], reader, ENOUGH) == whole(3)
    assert passages.kept([3], metadata=False) == {3: passage(3, metadata=False)}
    neither = passages.get([2, 4], reader, ENOUGH, texts=False, metadata=False)
    assert neither == {number: passage(number, texts=False, metadata=False) for number in (2, 4)}
    assert reader.read == [[1], [2], [1], [3], [4]]


def test_passages_missing_from_the_store_are_left_out_and_requested_again(reader: Reader):
    passages = PassageCache(10 * _PASSAGE_BYTES)
    assert passages.get([1, 99], reader, ENOUGH) == whole(1)
    assert passages.get([1, 99], reader, ENOUGH) == whole(1)
    assert reader.read == [[1, 99], [99]]


def test_passages_are_had_from_memory_only_if_all_of_them_are_there(reader: Reader):
    passages = PassageCache(10 * _PASSAGE_BYTES)
    passages.get([1, 2], reader, ENOUGH)
    assert passages.kept([1, 2]) == whole(1, 2)
    assert passages.kept([1, 2, 3]) is None
    assert passages.kept([]) == {}
    assert reader.read == [[1, 2]]


def test_the_least_recently_used_passage_is_evicted_first(reader: Reader):
    passages = PassageCache(3 * _PASSAGE_BYTES)
    for passage_id in (1, 2, 3):
        passages.get([passage_id], reader, ENOUGH)
    passages.get([1], reader, ENOUGH)
    passages.kept([2])
    passages.get([4], reader, ENOUGH)
    assert [passage_id for passage_id in range(10) if passages.kept([passage_id]) is not None] == [1, 2, 4]


@given(st.lists(st.sets(st.integers(0, 14), max_size=6), max_size=30), st.integers(0, 8))
def test_every_request_gets_the_stores_passages_within_the_bound(asked: list[set[int]], room: int):
    reader, passages = Reader(), PassageCache(room * _PASSAGE_BYTES)
    for wanted in asked:
        assert passages.get(wanted, reader, ENOUGH) == whole(*(number for number in wanted if number < 10))
        assert sum(passages.kept([passage_id]) is not None for passage_id in range(10)) <= room


def test_passages_that_are_kept_count_for_the_bytes_that_may_be_taken(reader: Reader):
    passages = PassageCache(10 * _PASSAGE_BYTES)
    passages.get([1], reader, ENOUGH)
    passages.get([1, 2], reader, 10_000)
    assert reader.max_bytes == 10_000 - len(passage(1).text) - len(passage(1).metadata)


def test_a_character_may_take_four_bytes():
    wide = PassageView(1, "d1", "\N{GRINNING FACE}" + "t" * 89, "{}")
    assert bytes_of(wide) > bytes_of(passage(1)) + 200


@pytest.mark.parametrize("text", ["plain", "é" * 1_000, "数据库" * 1_000, "🎉" * 1_000, "plain 🎉"])
def test_a_passage_has_one_size_also_once_its_text_was_encoded(text: str):
    # Use a new text: CPython keeps the UTF-8 of a text that was encoded.
    read = PassageView(1, "d", "".join(text), "{}")
    before = bytes_of(read)
    msgspec.json.encode(read.text)
    assert bytes_of(read) == before >= sys.getsizeof(read.text) - 100


def test_values_that_are_kept_again_do_not_add_up():
    cache: ByteLimitedCache[bytes] = ByteLimitedCache(1 << 20, len)
    for _ in range(3):
        cache.keep(1, b"one")
        cache.keep(2, b"three")
    assert cache.bytes == len(b"one") + len(b"three")
