"""The syntax of keyword queries: what each sign means, and that no text is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.analysis.query_syntax import Literal, parse
from tandem_gateway.analysis.terms import query_terms

SIGNS = [
    '"',
    "“",
    "”",
    "„",
    "-",
    "*",
    " ",
    "a",
    "tea",
    "C++",
    ".NET",
    "数据",
    "ข้าว",
    "snake_case",
    "1.2",
    "\n",
    "(",
    "é",
]
QUERIES = st.one_of(st.text(st.characters(exclude_categories=())), st.lists(st.sampled_from(SIGNS)).map("".join))


def shown(literals: tuple[Literal, ...]) -> list[str]:
    return [" ".join((*each.words, *each.names)) + "*" * each.prefix for each in literals]


@pytest.mark.parametrize(
    ("text", "words", "phrases", "excluded", "prefixes"),
    [
        ('"green tea" leaves', "green tea leaves", ["green tea"], [], []),
        ("“green tea” „oolong“", "green tea oolong", ["green tea", "oolong"], [], []),
        ('请找"全文索引"文档', "请找 全文索引 文档", ["全 文 索 引"], [], []),
        ("tea -cat", "tea", [], ["cat"], []),
        ("-cat tea -Dog", "tea", [], ["cat", "dog"], []),
        ('tea -"black cat"', "tea", [], ["black cat"], []),
        ("tea -state-of-the-art", "tea", [], ["state of the art"], []),
        ("code -C++ -.NET", "code", [], ["c c++", "net .net"], []),
        ("tea -uni*", "tea", [], ["uni*"], []),
        ("-数据库", "", [], ["数 据 库"], []),
        ("uni* tea", "tea", [], [], ["uni*"]),
        ("get_us*", "", [], [], ["get us*"]),
        ("数*", "", [], [], ["数*"]),
        ('"green te*"', "green", ["green te*"], [], []),
        ('"tea" "tea" -cat -CAT', "tea tea", ["tea"], ["cat"], []),
    ],
)
def test_signs(text: str, words: str, phrases: list[str], excluded: list[str], prefixes: list[str]):
    found = parse(text)
    assert " ".join(found.words.split()) == words
    assert (shown(found.phrases), shown(found.excluded), shown(found.prefixes)) == (phrases, excluded, prefixes)
    assert found.constrained == bool(phrases or excluded)


@pytest.mark.parametrize(
    "text",
    [
        *(
            '"',
            '""',
            '" "',
            '"!!!"',
            "-",
            "--",
            "*",
            "a*",
            "- a",
            "a -",
            "a - b",
            "--flag",
            "state-of-the-art",
            "x\u00ad-y",
        ),
        *('12" pipe and 14" pipe', '"never closed', '-"never closed', "**bold** *it*", "foo*bar", "f* g* (*)", "don't"),
        *("NOT a AND b OR NEAR(c d)", "exact : a", "a + b ^ c", "-!!! tea", "plain words"),
    ],
)
def test_signs_out_of_place_are_characters(text: str):
    found = parse(text)
    assert (found.meaning, found.words) == (text, text)
    assert not found.constrained
    assert not found.prefixes


def test_the_model_reads_neither_signs_nor_excluded_words():
    assert parse('"green tea" uni* -cat, please').meaning.split() == ["green", "tea", "uni", "please"]


@pytest.mark.parametrize(("text", "only"), [("-cat", True), ("!! -cat", True), ("-cat a", False), ('-a* "b"', False)])
def test_a_query_of_exclusions_only_is_known(text: str, only: bool):
    assert parse(text).only_exclusions == only


@given(QUERIES)
def test_no_text_is_an_error_and_no_word_is_lost(text: str):
    found = parse(text)
    for literal in (*found.phrases, *found.excluded, *found.prefixes):
        assert literal.words
        assert all(literal.words)
    if not found.excluded and not found.prefixes and not any(each.prefix for each in found.phrases):
        assert {each.exact for each in query_terms(found.words, 1000)} >= {
            word for each in found.phrases for word in each.words if word.isascii()
        }
    if not (found.constrained or found.prefixes):
        assert found.words == found.meaning == text


@pytest.mark.parametrize("unit", ['"', "-a ", "a*", '"a" ', "*", '-"', 'a"', "“", "数*"])
def test_the_parts_of_a_long_query_are_no_more_than_its_characters(unit: str):
    found = parse(unit * (8192 // len(unit)))
    assert len(found.phrases) + len(found.excluded) + len(found.prefixes) <= 1
