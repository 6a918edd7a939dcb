"""From what a person types to an FTS5 expression: whatever it is, it is no syntax, and means its words."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.sqlite.lexical.cache import TOKENIZER
from tandem_gateway.adapters.sqlite.lexical.query import MAX_MATCHES, MAX_TERMS, MAX_WORDS, choose, expression, words_of

SYNTAX = [
    '"',
    "'",
    "*",
    "^",
    "(",
    ")",
    "+",
    "-",
    ":",
    "{",
    "}",
    "AND",
    "OR",
    "NOT",
    "NEAR",
    "NEAR(",
    ",",
    "text",
    "rank",
]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(st.sampled_from(SYNTAX), st.text(max_size=4))).map(" ".join),
    st.lists(st.sampled_from(SYNTAX)).map("".join),
)


@pytest.fixture(scope="module")
def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='{TOKENIZER}')")
    connection.execute("INSERT INTO words (rowid, text) VALUES (1, 'any text at all')")
    return connection


def search(table: sqlite3.Connection, text: str) -> list[int]:
    found = words_of(text)
    if not found:
        return []
    matching = table.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank", (expression(found),))
    return [row_id for (row_id,) in matching]


@given(text=TEXTS)
def test_no_text_is_a_syntax_error(table: sqlite3.Connection, text: str):
    found = search(table, text)
    assert set(found) <= {1}
    assert search(table, f"{text} any") == [1] or len(words_of(text)) >= MAX_WORDS


@given(text=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1))
def test_a_text_whose_words_are_known_finds_itself(text: str):
    """What Python takes for a word, FTS5 does as well, but for characters of a later Unicode."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, tokenize='{TOKENIZER}')")
    connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, row)")
    connection.execute("INSERT INTO words (text) VALUES (?)", (" ".join(words_of(text)),))
    (terms,) = connection.execute("SELECT count(*) FROM terms").fetchone()
    assert bool(search(connection, text)) == bool(terms)
    connection.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!! ... ??", []),
        ("_ - +", []),
        ("C++ is not C#", ["c", "is", "not"]),
        ("hello-world snake_case", ["hello", "world", "snake", "case"]),
        ('say "hi" (loud)* NOT near', ["say", "hi", "loud", "not", "near"]),
        ("Tea tea TEA", ["tea"]),
        ("Straße café cafe\u0301", ["straße", "café", "cafe\u0301"]),
        ("don't", ["don", "t"]),
    ],
)
def test_words(text: str, words: list[str]):
    assert words_of(text) == words


def test_a_long_query_is_cut():
    assert len(words_of(" ".join(f"w{number}" for number in range(10 * MAX_WORDS)))) == MAX_WORDS


FREQUENCIES = st.lists(
    st.tuples(st.text("abcdef", min_size=1), st.integers(0, 3 * MAX_MATCHES)), unique_by=lambda f: f[0]
)


@given(frequencies=FREQUENCIES, more=st.integers(0, 10**6))
def test_what_is_chosen_is_bounded_and_never_nothing(frequencies: list[tuple[str, int]], more: int):
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
    assert choose([("the", 90_000), ("cat", 12)], 100_000) == ["cat"]
    assert choose([("the", 90_000)], 100_000) == ["the"]
    assert choose([("the", 9), ("cat", 2)], 10) == ["cat", "the"]
    assert choose([("absent", 0)], 10) == []
