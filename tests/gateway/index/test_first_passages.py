"""The map from passages to the first one of their document, against a dictionary; and how many passages to find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.index import first_passages
from tandem_gateway.index.first_passages import FirstPassages, passages_to_find
from tandem_gateway.records.arrays import Keys


def keys(numbers: list[int]) -> Keys:
    return np.array(numbers, np.uint64)


@given(st.lists(st.integers(1, 4), max_size=30), st.data())
def test_it_agrees_with_a_dictionary(sizes: list[int], data: st.DataObject):
    """Documents with ``sizes`` passages come and go; the first ones are read at the start."""
    documents, number = [], 1
    for size in sizes:
        documents.append(list(range(number, number + size)))
        number += size
    at_start = data.draw(st.integers(0, len(documents)))
    known = [(passage, found[0]) for found in documents[:at_start] for passage in found[1:]]
    firsts = FirstPassages(keys([later for later, _ in known]), keys([first for _, first in known]))
    live = dict(enumerate(documents[:at_start]))
    for place, found in enumerate(documents[at_start:], at_start):
        firsts.add(keys(found), keys([found[0]] * len(found)))
        live[place] = found
        if live and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(live)))
            firsts.remove(keys(live.pop(gone)))
        if data.draw(st.booleans()):
            firsts._merge()
        passages = [passage for found in live.values() for passage in found]
        assert firsts.of(keys(passages)).tolist() == [found[0] for found in live.values() for _ in found]
        some = sorted(data.draw(st.sets(st.sampled_from(sorted(live)), max_size=3))) if live else []
        expected = [passage for each in some for passage in live[each]]
        # What a removed document had may be in the answer: no index has these passages any more.
        assert set(firsts.passages_of(keys([live[each][0] for each in some])).tolist()) >= set(expected)
        assert set(firsts.passages_of(keys([live[each][0] for each in some])).tolist()) & set(passages) == set(expected)


def test_documents_with_one_passage_take_nothing():
    firsts = FirstPassages()
    firsts.add(keys([1, 2, 3]), keys([1, 2, 3]))
    assert len(firsts) == 0
    assert firsts.of(keys([1, 2, 3])).tolist() == [1, 2, 3]
    wanted = keys([2])
    assert firsts.passages_of(wanted) is wanted


def test_removed_passages_are_forgotten(monkeypatch):
    monkeypatch.setattr(first_passages, "_FEW_NEW", 10)
    firsts = FirstPassages()
    for document in range(200):
        number = 1 + 3 * document
        firsts.add(keys([number, number + 1, number + 2]), keys([number] * 3))
        firsts.remove(keys([number, number + 1, number + 2]))
    assert len(firsts) <= 40


@given(st.integers(1, 2000), st.integers(1, 100_000), st.integers(0, 100_000), st.integers(0, 9))
def test_a_search_finds_enough_passages_or_all(documents: int, passages: int, later: int, widening: int):
    found = passages_to_find(documents, passages, min(later, passages - 1), 4**widening)
    assert min(documents, passages) <= found <= passages + 1
    assert found <= passages_to_find(documents, passages, min(later, passages - 1), 4 ** (widening + 1))


def test_of_a_few_long_documents_eight_passages_a_document_are_found_at_first():
    assert passages_to_find(10, 1000, 1, 1) == 21
    assert passages_to_find(10, 10_000, 9_999, 1) == 80
    assert passages_to_find(10, 0, 3, 1) == 1  # all documents were deleted


@pytest.mark.parametrize("count", [3, 3000])
def test_what_is_added_again_is_there_once(count: int):
    """An index that adopts a snapshot follows the changes since then a second time."""
    passages = np.arange(10, 10 + count, dtype=np.uint64)
    firsts = np.full(count, 10, np.uint64)
    known = FirstPassages()
    for _ in range(3):
        known.add(passages, firsts)
    assert len(known) == count - 1
    assert known.passages_of(firsts[:1]).tolist() == passages.tolist()
    known.remove(passages)
    assert not len(known)
