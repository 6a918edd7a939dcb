"""The analysis divides a text into slices; the terms equal those of the whole text."""

import random
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tandem_gateway.analysis import slices
from tandem_gateway.analysis.terms import document_terms, query_terms

ENOUGH = 1 << 20
CHINESE = "".join(chr(0x4E00 + number) for number in range(15_000))
LONG = {
    "CSV": ",".join(f"p{48000 + number}" for number in range(3000)),
    "JSON": "".join(f'{{"userId":{number},"name":"getUser{number}","é":"x_{number}.py"}},' for number in range(500)),
    "Chinese": CHINESE,
    "Japanese": "東京都は日本の首都であり、世界最大の都市圏です。" * 600,
    "Japanese without punctuation": "カタカナとひらがなと漢字" * 1200,
    "Thai": "ภาษาไทยเป็นภาษาที่มีระดับเสียง" * 500,
    "Khmer": "ភាសាខ្មែរគឺជាភាសា" * 800,
    "Burmese": "မြန်မာဘာသာစကားသည်" * 800,
    "Korean": " ".join(f"학점인정{chr(0xAC00 + number)}은" for number in range(3000)),
    "Korean and digits": "".join(f"학점{number}인정은" for number in range(3000)),
    "Chinese and words": "".join(f"用Python{number}写" for number in range(2000)),
    "single characters among letters": "用a" * 9000,
    "Hindi": "|".join(f"हिन्दी{number}" for number in range(2000)),
    "code": "".join(f"self._items{number}[getUserName(C#,C++,.NET)]=HTTPAdapter2/x-{number};" for number in range(300)),
    "sums": "+".join(f"a{number}" for number in range(4000)),
    "tags": "#".join(f"a{number}" for number in range(4000)),
    "emoji": "🎉" * 9000 + "x" + "🇩🇪🇫🇷" * 1500 + "é" + "🇩🇪" * 2500,
    "codes": "/".join(f"SKU-{number}_x.py" for number in range(2000)),
    "one word": "x" * 100 + " " + "é" * 8191,
}


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_CHARS", 40)


def counted(text: str) -> tuple[Counter[str], Counter[str], set[str]]:
    exact, stems, _ = document_terms(text)
    return Counter(exact), Counter(stems), {term.exact for term in query_terms(text, ENOUGH)}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("offset", range(4))
def test_a_long_text_has_the_terms_of_the_whole(text: str, offset: int, monkeypatch: pytest.MonkeyPatch):
    text = "!" * offset + text
    sliced = counted(text)
    assert len(list(slices.slices(text))) > 1 or len(text) <= slices.SLICE_CHARS + 200
    monkeypatch.setattr(slices, "SLICE_CHARS", ENOUGH)
    assert sliced == counted(text)


TOKENS = [*"aZ9é用ก한🎉+", "p48", "getUserName", "x_y", "SKU-48200", "v1.2.3", "C++", "C#", ".NET", "ASP.NET", "数据库"]
TOKENS += [
    "학점인정은",
    "ข้าว",
    "ខ្មែរ",
    "မြန်မာ",
    "हिन्दी",
    "🇩🇪",
    "日本",
    "ß",
    "слово",
    "\u17d2",
    "\u0e31",
    "\u1039",
    "'s",
]
SEPARATORS = ["", " ", ",", "\n", '","', ":", "|", "/", ";", "=", "。", "、", "()", "+", "#", "—"]
TEXTS = st.lists(st.tuples(st.sampled_from(TOKENS), st.sampled_from(SEPARATORS)), min_size=5, max_size=100).map(
    lambda parts: "".join(token + separator for token, separator in parts)
)


# These have no place for a cut.
TOO_LONG = re.compile(r"[a-zA-Z0-9éß_.+#\-]{58}|[가-힣]{58}|[हिन्दीслово]{58}|[🇩🇪]{20}")


@given(text=TEXTS)
def test_any_text_has_the_terms_of_the_whole_if_no_word_is_longer_than_a_slice(text: str):
    assume(not TOO_LONG.search(text))
    with pytest.MonkeyPatch.context() as patch:
        whole = counted(text)
        patch.setattr(slices, "SLICE_CHARS", 60)
        parts = list(slices.slices(text))
        assert "".join(part for part, _ in parts) == text
        assert all(0 < len(part) <= slices.SLICE_CHARS for part, _ in parts)
        assert len(parts) <= 1 + 3 * len(text) // slices.SLICE_CHARS
        assert counted(text) == whole


@pytest.mark.parametrize("separator", [*",;:|/=()-_.+#\n—。", "::", "->", "++", '","'])
def test_no_separator_hides_a_word(separator: str):
    words = [f"{random.Random(number).choice(['p', 'é', 'слово'])}{48000 + number}" for number in range(3000)]
    missing = set(words) - set(document_terms(separator.join(words)).exact)
    assert missing <= {word for word in words if word.startswith("é")}
    assert {"e" + word[1:] for word in missing} <= set(document_terms(separator.join(words)).exact)


@pytest.mark.usefixtures("small_slices")
def test_a_pair_at_the_border_is_made_once():
    text = CHINESE[:1000]
    exact = Counter(document_terms(text).exact)
    assert exact == Counter([*text, *map("".join, pairwise(text))])
