"""The terms of a text: the same for each of its spellings, with limits on their number and length."""

import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.analysis.folding import fold
from tandem_gateway.analysis.terms import MAX_TERM_CHARS, document_terms, query_terms

ANY_TEXT = st.one_of(
    st.text(),
    st.text(st.characters(min_codepoint=0x300)),
    st.text("aA1_-.+# é\u0301の한ก\u0e31\u17d2क\u093f🎉"),
    st.lists(st.sampled_from(["getUserName", "C++", "数据库", "학점인정", "ข้าว", "ß", "\u200d", " ", "x" * 150])).map(
        "".join
    ),
)
TERM = re.compile(r"""[a-z0-9_+#.\-]*(?:[^\x00-\x7f\s][a-z0-9_+#.\-]*)*""")


@pytest.mark.parametrize(
    ("text", "exact", "stems"),
    [
        ("", "", ""),
        ("!!! ... ?? _ -", "", ""),
        ("Tea tea TEA", "tea tea tea", "tea tea tea"),
        ("Steeped leaves", "steeped leaves", "steep leav"),
        ("don't", "don t", "don t"),
        ("getUserName", "getusername get user name getuser username", "getusernam get user name"),
        ("HTTPAdapter", "httpadapter http adapter", "httpadapt http adapt"),
        ("snake_case", "snake case snake_case snakecase", "snake case"),
        ("hello-world", "hello world helloworld", "hello world"),
        ("SKU-48200", "sku 48200 sku-48200 sku48200", "sku"),
        ("v1.2.3", "v1 2 3 v1.2.3", ""),
        ("ASP.NET", "asp net asp.net", "asp net"),
        ("C++ C# c", "c c c c++ c#", "c c c"),
        ("C++17", "c 17 c++", "c"),
        (".NET", "net .net", "net"),
        ("数据库", "数 据 库 数据 据库", ""),
        ("学", "学", ""),
        ("학점인정", "학점인정 학 점 인 정 학점 점인 인정", ""),
        ("ข้าว", "ข้ า ว ข้า าว", ""),
        ("用Python写", "用 写 python", "python"),
        ("हिन्दी", "हिन्दी", ""),
        ("🎉🎉 ❤️ 🇩🇪", "🎉 🎉 ❤ 🇩🇪", ""),
        ("٣ ३", "3 3", ""),
        ("────", "", ""),
        ("Muhammad ﷺ said", "muhammad said", "muhammad said"),
    ],
)
def test_terms_of_a_document(text: str, exact: str, stems: str):
    found = document_terms(text)
    assert Counter(found.exact) == Counter(exact.split())
    assert Counter(found.stems) == Counter(stems.split())


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("数据库", "数据 据库"),
        ("库", "库"),
        ("학점인정", "학점인정 학점 점인 인정"),
        ("물", "물"),
        ("cats", "cats/cat"),
        ("tea tea", "tea/tea"),
        ("C#", "c# c/c"),
        ("!!!", ""),
    ],
)
def test_terms_of_a_query(text: str, terms: str):
    found = query_terms(text, 100)
    assert [f"{term.exact}/{term.stem}" if term.stem else term.exact for term in found] == terms.split()


@given(text=ANY_TEXT)
def test_canonically_equivalent_texts_have_the_same_terms(text: str):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert document_terms(composed) == document_terms(decomposed) == document_terms(text)
    assert query_terms(composed, 256) == query_terms(decomposed, 256) == query_terms(text, 256)


@given(text=ANY_TEXT)
def test_terms_are_bounded_and_of_a_safe_alphabet(text: str):
    found = document_terms(text)
    folded = len(unicodedata.normalize("NFKD", text))
    # Case folding turns one character into at most three.
    assert len(found.exact) <= 3 * 4 * folded
    assert len(found.stems) <= len(found.exact)
    for term in (*found.exact, *found.stems):
        assert 0 < len(term) <= MAX_TERM_CHARS
        assert TERM.fullmatch(term), ascii(term)


@given(text=ANY_TEXT)
def test_a_text_has_the_terms_of_its_query(text: str):
    """A document has every term that a query of the same text asks for."""
    found = document_terms(text)
    for term in query_terms(text, 1 << 20):
        assert term.exact in found.exact
        assert not term.stem or term.stem in found.stems
    assert bool(query_terms(text, 1 << 20)) == bool(found.exact)


@given(text=st.text(st.characters(exclude_categories=())))
def test_no_text_raises(text: str):
    document_terms(text)
    query_terms(text, 256)


UNITS = [*"aA_.+#数한🎉", "aB", "ABa", "a_", "a-", "a.", "a+"]
UNITS += ["ก\u0e31", "\u17d2", "क\u093f", "\ufdfa", "\u3316", "\u0301"]  # letters with marks, marks, and long ligatures


@pytest.mark.parametrize("unit", UNITS)
def test_a_text_that_is_ten_times_as_long_has_ten_times_as_many_terms_at_most(unit: str):
    once, ten = (document_terms(unit * count) for count in (3_000, 30_000))
    assert len(ten.exact) <= 11 * len(once.exact) + 1000
    assert sum(map(len, ten.exact)) <= 12 * sum(map(len, once.exact)) + 100_000


@given(text=st.text(st.characters(min_codepoint=0x80)))
def test_folding_is_in_composed_form(text: str):
    folded = fold(text)
    assert unicodedata.normalize("NFC", folded) == folded


def test_words_at_the_edge_of_a_slice_are_whole():
    words = [f"word{number}" for number in range(5000)]
    assert document_terms(" ".join(words)).exact == words
    accented = [f"é{word}" for word in words]
    assert document_terms(" ".join(accented)).exact == [f"e{word}" for word in words]
