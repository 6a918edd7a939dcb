"""Highlights: which characters of a text a query's words match."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.analysis.folding import fold
from tandem_gateway.analysis.matches import Wanted, matched_spans
from tandem_gateway.analysis.offsets import fold_with_offsets
from tandem_gateway.analysis.query_syntax import parse
from tandem_gateway.analysis.terms import document_terms, query_terms

LETTERS = st.text(
    "aA1_-.+# é\u0301\u0323の한か\u3099\u1112\u1161ㅎㅏกา\u0e31\u17d2क\u093f🎉ßİﬁﷺ\u00ad\u200dｶﾞ㌖Å\U0001f1e9\U0001f1ea"
)
TEXTS = st.one_of(st.text(), LETTERS, st.text(st.characters(min_codepoint=0x300)))


def never() -> None:
    return


def marked(text: str, query: str, limit: int = 100) -> str:
    """Return the text with brackets around the matches."""
    offsets = matched_spans(text, Wanted(parse(query)), limit, never)
    parts, last = [], 0
    for start, stop in zip(offsets[::2], offsets[1::2], strict=True):
        assert last <= start < stop <= len(text)
        parts += [text[last:start], "[", text[start:stop], "]"]
        last = stop
    return "".join([*parts, text[last:]])


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("The cat sat. CATS!", "cat", "The [cat] sat. [CATS]!"),
        ("steeped leaves", "steep leaf", "[steeped] leaves"),
        ("tea for two", "nothing", "tea for two"),
        ("green tea, tea", '"green tea" -two', "[green] [tea], [tea]"),
        ("universe university unit", "univers*", "[universe] [university] unit"),
        ("Un café, cafe\u0301 CAFÉ", "cafe", "Un [café], [cafe\u0301] [CAFÉ]"),
        ("die Straße", "strasse", "die [Straße]"),
        ("İstanbul ISTANBUL", "istanbul", "[İstanbul] [ISTANBUL]"),
        ("The oﬃce", "office", "The [oﬃce]"),
        ("co\u00adoperation", "cooperation", "[co\u00adoperation]"),
        ("🎉 a cat 🎉", "cat 🎉", "[🎉] a [cat] [🎉]"),
        ("我们在数据库中保存", "数据库", "我们在[数据库]中保存"),
        ("我们在数据库中保存", "数*", "我们在[数]据库中保存"),
        ("请使用Python编程", "python", "请使用[Python]编程"),
        ("ฉันกินข้าวผัด", "ข้าว", "ฉันกิน[ข้าว]ผัด"),
        ("문서를 검색", "문서", "[문서]를 검색"),
        (unicodedata.normalize("NFD", "문서를"), unicodedata.normalize("NFC", "문서"),
         "[" + unicodedata.normalize("NFD", "문서") + "]" + unicodedata.normalize("NFD", "를")),
        ("ｶﾞｲﾄﾞ", "ガイド", "[ｶﾞｲﾄﾞ]"),
        ("مُحَمَّدٌ", "محمد", "[مُحَمَّدٌ]"),
        ("def getUserName()", "user", "def get[User]Name()"),
        ("def getUserName()", "username", "def get[UserName]()"),
        ("def getUserName()", "getusername", "def [getUserName]()"),
        ("is_valid_cidr", "valid", "is_[valid]_cidr"),
        ("is_valid_cidr", "validCidr", "is_[valid_cidr]"),
        ("SKU-48200 x", "sku48200", "[SKU-48200] x"),
        ("使用C#编程", "c#", "使用[C#]编程"),
        ("son œuvre", "oeuvre", "son [œuvre]"),
        ("Ærø", "AERO", "[Ærø]"),
        ("C++ and C", "c++", "[C++] and [C]"),
        ("on .NET now", ".net", "on [.NET] now"),
        ("v1.2.3", "v1.2.3", "[v1.2.3]"),
    ],
)  # fmt: skip
def test_matches(text: str, query: str, expected: str):
    assert marked(text, query) == expected


def test_the_number_is_bounded_and_the_first_ones_are_kept():
    assert marked("cat " * 5, "cat", 3) == "[cat] [cat] [cat] cat cat "


@pytest.mark.parametrize("unit", ["word cat é ", "数据库"])
def test_a_long_text_is_searched_in_slices_and_may_be_ended(unit: str):
    calls = []
    text = unit * (30_000 // len(unit))
    offsets = matched_spans(text, Wanted(parse("cat 据库")), 1 << 20, lambda: calls.append(1))
    assert len(calls) > 3
    assert len(offsets) == 2 * len(range(0, len(text), len(unit)))

    def end() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        matched_spans(text, Wanted(parse("cat")), 100, end)


@given(TEXTS)
def test_folding_with_offsets_is_folding(text: str):
    found = fold_with_offsets(text)
    assert found.lower == fold(text).casefold()
    assert len(found.text) == len(found.lower) == len(found.starts) - 1
    assert list(found.starts) == sorted(found.starts)


@given(TEXTS)
def test_a_text_is_highlighted_by_each_of_its_own_terms(text: str):
    terms = document_terms(text).exact
    for term in terms[:20]:
        if [each.exact for each in query_terms(term, 9)][:1] == [term]:
            assert matched_spans(text, Wanted(parse(term)), 100, never), term


@given(TEXTS, TEXTS)
def test_any_query_has_ascending_spans_within_the_text(text: str, query: str):
    marked(text, query)
