"""Postings in memory: the same passages and scores as FTS5 gives, to the last bit; and a bound on the memory."""

import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_gateway.adapters.sqlite.lexical import bm25, query
from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable
from tandem_gateway.adapters.sqlite.lexical.postings import MAX_BYTES, Postings
from tandem_gateway.adapters.sqlite.lexical.tables import TOKENIZER
from tandem_gateway.adapters.sqlite.lexical.texts import columns
from tandem_gateway.analysis.terms import QueryTerm, query_terms
from tandem_gateway.errors import DeadlineExceeded

Ranked = list[tuple[int, float]]

WORDS = ["flow", "flows", "flowing", "wing", "wings", "naïve", "東京", "c++", "SKU-48200", "a", "of", "heat"]
texts = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


class Table:
    """An FTS5 table of one collection, as the keyword index has it, and its postings."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute(
            f"CREATE VIRTUAL TABLE words_1 USING fts5(exact, stem, content='', tokenize=\"{TOKENIZER}\")"
        )
        self.postings = Postings(self.connection, max_bytes)
        self.texts: dict[int, str] = {}

    def add(self, added: Iterable[str]) -> None:
        for text in added:
            passage_id = 3 * (len(self.texts) + 1) + max(self.texts, default=0)
            self.texts[passage_id] = text
            self.connection.execute(
                "INSERT INTO words_1 (rowid, exact, stem) VALUES (?, ?, ?)", (passage_id, *columns(text))
            )
        self.postings.added(1)

    def remove(self, passage_ids: list[int]) -> None:
        for passage_id in passage_ids:
            self.connection.execute(
                "INSERT INTO words_1 (words_1, rowid, exact, stem) VALUES ('delete', ?, ?, ?)",
                (passage_id, *columns(self.texts.pop(passage_id))),
            )
        self.postings.removed(1, passage_ids)

    def rank(self, terms: list[QueryTerm], limit: int = 100) -> Ranked:
        found = self.postings.rank(1, terms, len(self.texts), limit, lambda: False)
        assert found is not None
        return found

    def of_fts5(self, terms: list[QueryTerm], limit: int = 100) -> Ranked:
        rows = self.connection.execute(
            "SELECT rowid, -rank FROM words_1 WHERE words_1 MATCH ? AND rank MATCH ? ORDER BY rank, rowid LIMIT ?",
            (query.expression(terms), f"bm25(1.0, {query.STEM_WEIGHT})", limit),
        )
        return [(int(passage_id), float(score)) for passage_id, score in rows]


@pytest.fixture
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.connection.close()


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.lists(texts, max_size=8), st.sets(st.integers(0, 30), max_size=4)), max_size=5),
    asked=st.lists(texts.filter(lambda text: bool(query_terms(text, 64))), min_size=1, max_size=4),
    limit=st.integers(1, 12),
)
def test_ranks_and_scores_as_fts5(steps: list[tuple[list[str], set[int]]], asked: list[str], limit: int) -> None:
    table = Table()
    for added, removed in steps:
        table.add(added)
        there = list(table.texts)
        table.remove([there[place] for place in sorted(removed) if place < len(there)])
        for each in asked:
            terms = query_terms(each, 64)
            assert table.rank(terms, limit) == table.of_fts5(terms, limit)
    table.connection.close()


def test_a_term_that_occurs_hundreds_of_times(table: Table) -> None:
    table.add(["flow " * 300, "flow " * 70_000, "wing flow", "wing"] + ["heat"] * 20)
    terms = query_terms("flow wing", 64)
    assert table.rank(terms) == table.of_fts5(terms)
    assert len(table.rank(terms)) == 4


def test_no_passage_has_the_terms(table: Table) -> None:
    table.add(["flow"])
    assert table.rank(query_terms("heat", 64)) == []
    table.remove(list(table.texts))
    assert table.rank(query_terms("flow", 64)) == []


def test_only_some_passages_may_be_returned(table: Table) -> None:
    table.add(["flow", "flow wing", "wing", "heat"] * 3)
    terms = query_terms("flow wing", 64)
    wanted = [each for each in table.of_fts5(terms) if each[0] % 2 == 0]
    found = table.postings.rank(1, terms, len(table.texts), 2, lambda: False, lambda keys: keys % 2 == 0)
    assert found == wanted[:2]


def test_in_memory_it_ranks_what_it_has_read_and_no_more_than_it_may(table: Table) -> None:
    table.add(["flow", "flow wing", "wing", "heat"] * 3)
    terms = query_terms("flow wing", 64)
    assert table.postings.rank_in_memory(1, terms, 5, 100) is None
    found = table.rank(terms, 5)
    assert table.postings.rank_in_memory(1, terms, 5, 100) == found
    assert table.postings.rank_in_memory(1, terms, 5, 24) == found  # six passages, two terms, two columns
    assert table.postings.rank_in_memory(1, terms, 5, 23) is None
    rare = query_terms("c++", 64)
    assert table.rank(rare) == []
    assert table.postings.rank_in_memory(1, rare, 5, 2) == []
    assert table.postings.rank_in_memory(1, rare, 5, 1) is None  # twelve passages
    assert table.postings.rank_in_memory(1, query_terms("flow heat", 64), 5, 100) is None
    table.remove(list(table.texts)[:1])
    assert table.postings.rank_in_memory(1, terms, 5, 100) is None


def test_the_memory_has_a_limit() -> None:
    table = Table(max_bytes=2000)
    table.add(["flow wing heat naïve", "flow wing", "heat"] * 10)
    for text in ("flow", "wing", "heat", "naïve"):
        terms = query_terms(text, 64)
        assert table.rank(terms) == table.of_fts5(terms)
        assert 0 < table.postings.bytes <= 2000
    terms = query_terms("flow wing heat naïve", 64)
    assert table.rank(terms) == table.of_fts5(terms)
    assert table.postings.bytes <= 2000
    table.connection.close()


def test_a_collection_that_exceeds_the_memory_is_left_to_fts5() -> None:
    table = Table(max_bytes=100)
    table.add(["flow"] * 10)
    assert table.postings.rank(1, query_terms("flow", 64), 10, 5, lambda: False) is None
    assert table.postings.bytes == 0
    table.connection.close()


def test_another_number_of_passages_than_the_file_has(table: Table) -> None:
    table.add(["flow"] * 3)
    with pytest.raises(CacheUnusable, match="the lengths of 3 passages, not of 4"):
        table.postings.rank(1, query_terms("flow", 64), 4, 5, lambda: False)


def test_a_passage_without_its_length(table: Table) -> None:
    table.add(["flow"] * 3)
    table.connection.execute("UPDATE words_1_docsize SET id = 1000 WHERE id = (SELECT min(id) FROM words_1_docsize)")
    with pytest.raises(CacheUnusable, match="a passage that is not there"):
        table.postings.rank(1, query_terms("flow", 64), 3, 5, lambda: False)


def test_it_stops_when_the_time_is_over(table: Table) -> None:
    table.add(["flow"])
    with pytest.raises(DeadlineExceeded):
        table.postings.rank(1, query_terms("flow", 64), 1, 5, lambda: True)


def test_many_removals_are_not_remembered(table: Table) -> None:
    table.add(["flow", "wing"])
    terms = query_terms("flow wing", 64)
    table.rank(terms)
    table.postings.removed(1, list(range(1_000_000, 1_010_001)))
    assert table.postings.bytes == 0
    assert table.rank(terms) == table.of_fts5(terms)


@given(st.lists(st.integers(0, 2**50)))
def test_varints(numbers: list[int]) -> None:
    encoded = b"".join(_varint(number) for number in numbers)
    assert bm25.decoded_varints(encoded).tolist() == numbers


def _varint(number: int) -> bytes:
    encoded = [number & 0x7F]
    while number := number >> 7:
        encoded.append(number & 0x7F | 0x80)
    return bytes(reversed(encoded))


@given(st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.5]), max_size=30), st.integers(1, 40))
def test_best(found: list[float], limit: int) -> None:
    wanted = sorted(range(len(found)), key=lambda place: (-found[place], place))[:limit]
    assert bm25.best(np.array(found), limit).tolist() == wanted
