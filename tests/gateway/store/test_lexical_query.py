"""From a user's query to an FTS5 expression: no text acts as syntax, and the expression means the query's terms."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.sqlite.lexical.query import (
    MAX_MATCHES,
    MAX_TERMS,
    MAX_WORDS,
    STEM_WEIGHT,
    choose,
    expression,
    weight,
)
from tandem_gateway.adapters.sqlite.lexical.tables import TOKENIZER
from tandem_gateway.adapters.sqlite.lexical.texts import GAP, columns
from tandem_gateway.analysis.terms import QueryTerm, document_terms, query_terms

SYNTAX = ['"', "'", *"*^()+-:{},", "AND", "OR", "NOT", "NEAR", "NEAR(", "exact", "stem", "rank"]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(st.sampled_from(SYNTAX), st.text(max_size=4))).map(" ".join),
    st.lists(st.sampled_from(SYNTAX)).map("".join),
)


def table_of(text: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(exact, stem, content='', tokenize=\"{TOKENIZER}\")")
    connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, col)")
    connection.execute("INSERT INTO words (rowid, exact, stem) VALUES (1, ?, ?)", columns(text))
    return connection


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    with closing(table_of("any text at all")) as connection:
        yield connection


def search(table: sqlite3.Connection, text: str) -> list[int]:
    found = query_terms(text, MAX_WORDS)
    if not found:
        return []
    matching = table.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank", (expression(found),))
    return [row_id for (row_id,) in matching]


@given(text=TEXTS)
def test_no_text_is_a_syntax_error(table: sqlite3.Connection, text: str):
    assert set(search(table, text)) <= {1}
    assert search(table, f"any {text}") == [1] or len(query_terms(text, MAX_WORDS)) >= MAX_WORDS


@given(text=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1))
def test_the_tokenizer_keeps_every_term_as_it_is(text: str):
    terms = document_terms(text)
    kept = {column: set() for column in ("exact", "stem")}
    with closing(table_of(text)) as connection:
        for term, column in connection.execute("SELECT term, col FROM terms"):
            kept[column].add(term)
        assert {"exact": kept["exact"] - {GAP}, "stem": kept["stem"]} == {
            "exact": set(terms.exact),
            "stem": set(terms.stems),
        }
        assert bool(search(connection, text)) == bool(terms.exact)


def test_a_long_query_is_cut():
    assert len(query_terms(" ".join(f"w{number}" for number in range(10 * MAX_WORDS)), MAX_WORDS)) == MAX_WORDS


def test_the_largest_expression_is_one_for_fts5(table: sqlite3.Connection):
    terms = [QueryTerm(f"w{number}", f"s{number}") for number in range(MAX_TERMS - 1)] + [QueryTerm("any", "any")]
    assert list(table.execute("SELECT rowid FROM words WHERE words MATCH ?", (expression(terms),))) == [(1,)]


FREQUENCIES = st.lists(
    st.tuples(st.text("abcdef", min_size=1).map(lambda word: QueryTerm(word, "")), st.integers(0, 3 * MAX_MATCHES)),
    unique_by=lambda f: f[0],
)


@given(frequencies=FREQUENCIES, more=st.integers(0, 10**6))
def test_the_choice_of_terms_is_bounded_and_never_empty(frequencies: list[tuple[QueryTerm, int]], more: int):
    documents = max((count for _, count in frequencies), default=0) + more
    chosen = choose(frequencies, documents)
    there = {word: count for word, count in frequencies if count}
    assert len(chosen) == len(set(chosen)) <= MAX_TERMS
    assert set(chosen) <= set(there)
    assert bool(chosen) == bool(there)
    assert len(chosen) == 1 or sum(there[word] for word in chosen) <= MAX_MATCHES
    assert [there[word] for word in chosen] == sorted(there[word] for word in chosen)
    rarest = min(there.values(), default=0)
    assert not chosen or there[chosen[0]] == rarest


def test_words_in_most_documents_are_left_out_where_that_saves_something():
    the, cat = QueryTerm("the", "the"), QueryTerm("cat", "cat")
    assert choose([(the, 90_000), (cat, 12)], 100_000) == [cat]
    assert choose([(the, 90_000)], 100_000) == [the]
    assert choose([(the, 9), (cat, 2)], 10) == [cat, the]
    assert choose([(QueryTerm("absent", ""), 0)], 10) == []


def test_a_passage_with_each_word_once_has_the_weight_of_the_query():
    texts = ["university campus", "green tea", "old maps", "red cars", "tall trees"]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f'CREATE VIRTUAL TABLE words USING fts5(exact, stem, tokenize="{TOKENIZER}")')
        for text in texts:
            connection.execute("INSERT INTO words VALUES (?, ?)", columns(text))
        terms = query_terms("green tea", MAX_WORDS)
        (score,) = connection.execute(
            f"SELECT -rank FROM words WHERE words MATCH ? AND rank MATCH 'bm25(1.0, {STEM_WEIGHT})'",
            (expression(terms),),
        ).fetchone()
    assert weight([(term, 1) for term in terms], len(texts)) == pytest.approx(score, rel=0.05)


def test_the_words_that_no_passage_has_weigh_most_and_those_that_all_have_nothing():
    (term,) = query_terms("tea", MAX_WORDS)
    weights = [weight([(term, count)], 100) for count in (0, 1, 10, 50, 100)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < 1e-5 < weights[2]
    assert weight([], 100) == 0.0
