"""Keyword search in many languages and notations, through the store and the index."""

import itertools
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tests.gateway.store.lexical import follow
from tests.support.fakes import WAIT_SECONDS, run
from tests.support.stores import document, ingest, open_store

_jobs = itertools.count()


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


TEXTS = {
    "zh": "我们在数据库中保存文档并建立全文索引。",
    "zh-cache": "分布式缓存减少延迟。",
    "zh-mixed": "请使用Python编程",
    "zh-code": "重跑gen-itgc后50条记录",
    "ja": "東京都庁は新宿区にあります。",
    "ja-kana": "サーバーとデータベースのガイドブック",
    "ko": "데이터베이스에서 문서를 검색합니다.",
    "ko-nfd": nfd("학점인정 안내 자료"),
    "th": "ฉันชอบกินข้าวผัด",
    "lo": "ຂ້ອຍມັກກິນເຂົ້າ",
    "km": "ខ្ញុំចូលចិត្តបាយ",
    "my": "ကျွန်တော်ထမင်းကြိုက်တယ်",
    "hi": "हिन्दी में लिखा हुआ वाक्य",
    "hi-other": "हम नदी के पास दोपहर में थे",
    "bn": "আমি বাংলায় গান গাই",
    "ta": "தமிழ் மொழி",
    "ar": "مُحَمَّدٌ يَكْتُبُ رِسَالَةً",
    "ar-alef": "أحمد يقرأ كتـــاب",
    "he": "תִּקּוּן עוֹלָם",
    "ru": nfd("Йогурт и чай"),
    "el": "ΟΔΟΣ ΑΘΗΝΩΝ",
    "el-myth": "Ο Σίσυφος και η πέτρα",
    "vi": "Đường phố Hà Nội",
    "de": "Die Straße nach Łódź",
    "ja-nfd": nfd("ガイドライン"),
    "wide": "ＡＢＣ１２３",
    "ligature": "The oﬃce ﬁle",
    "styled": "𝐇𝐞𝐥𝐥𝐨",
    "soft": "co\u00adoperation of \u200bneighbours",
    "trademark": "Hitman™ returns",
    "party": "🎉🎂🎈",
    "sad": "so 😭",
    "camel": "def getUserName(self)",
    "snake": "is_valid_cidr(network)",
    "product": "SKU-48200 stainless steel bottle",
    "product2": "SKU-48201 stainless steel bottle",
    "version": "upgrade libfoo to v1.12.3 now",
    "path": "see src/app/settings.py for it",
    "cpp": "C++ is a programming language",
    "csharp": "C# is a programming language",
    "c": "C is a programming language",
    "fsharp": "F# on .NET Core",
    "zh-version": "版本4.5.6发布",
    "zh-iphone": "iPhone手机壳",
    "danish": "Æbler og Ærø",
    "french": "son œuvre",
    "icelandic": "Þór",
    "stroke": "ɨ ƀeta",
    "hi-nukta": "क़लम",
    "http": "class XMLHttpRequest",
    "absolute": "run /usr/local/bin/python3.11 now",
    "windows": "C:\\Windows\\System32",
    "retry": "MAX_RETRY_COUNT = many",
    "release": "after 7.8.9.",
    "fullwidth": "ＵＮＩＣＯＤＥ ①",
    "he-points": "שָׁלוֹם",
    "ar-hamza": "مؤمن",
    "tr": "Şişli İstanbul",
    "uk": "Київ їжак",
}


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LexicalFollower]:
    folder = tmp_path_factory.mktemp("languages")
    store = _filled(folder, TEXTS)
    made = follow(folder)
    yield made
    made.close()
    store.close()


def _filled(folder: Path, texts: dict[str, str]) -> SqliteStore:
    store = open_store(folder)
    run(lambda: ingest(store, [document(*item) for item in texts.items()], f"job{next(_jobs)}", "default"))
    return store


def found(follower: LexicalFollower, query: str, top_k: int = 50) -> list[str]:
    return [hit.doc_id for hit in follower.search("default", query, top_k, time.monotonic() + WAIT_SECONDS)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # no spaces between words
        ("数据库", ["zh"]),
        ("文档", ["zh"]),
        ("索引", ["zh"]),
        ("缓存", ["zh-cache"]),
        ("分布式", ["zh-cache"]),
        ("迟", ["zh-cache"]),
        ("東京", ["ja"]),
        ("新宿", ["ja"]),
        ("区", ["ja"]),
        ("サーバー", ["ja-kana"]),
        ("ﾃﾞｰﾀﾍﾞｰｽ", ["ja-kana"]),
        ("문서", ["ko"]),
        ("데이터베이스", ["ko"]),
        ("ข้าว", ["th"]),
        ("ข้าวผัด", ["th"]),
        ("ເຂົ້າ", ["lo"]),
        ("បាយ", ["km"]),
        ("ထမင်း", ["my"]),
        # Latin words beside these
        ("Python", ["zh-mixed"]),
        ("itgc", ["zh-code"]),
        # canonically equivalent spellings
        (nfc("학점인정"), ["ko-nfd"]),
        (nfc("학점"), ["ko-nfd"]),
        (nfd("검색"), ["ko"]),
        (nfc("ガイドブック"), ["ja-kana", "ja-nfd"]),
        (nfd("ガイドブック"), ["ja-kana", "ja-nfd"]),
        (nfc("Йогурт"), ["ru"]),
        ("οδός", ["el"]),
        ("σισυφος", ["el-myth"]),
        ("duong", ["vi"]),
        ("STRASSE", ["de"]),
        ("lodz", ["de"]),
        # vowel marks
        ("رسالة", ["ar"]),
        ("محمد", ["ar"]),
        ("احمد", ["ar-alef"]),
        ("كتاب", ["ar-alef"]),
        ("תיקון", []),
        ("תקון", ["he"]),
        ("हिन्दी", ["hi"]),
        ("বাংলায়", ["bn"]),
        ("தமிழ்", ["ta"]),
        # invisible characters, compatibility forms
        ("cooperation", ["soft"]),
        ("neighbours", ["soft"]),
        ("co\u200doper\u00adation", ["soft"]),
        ("ABC123", ["wide"]),
        ("office", ["ligature"]),
        ("hello", ["styled"]),
        ("Hitman", ["trademark"]),
        # emoji
        ("🎉", ["party"]),
        ("😭", ["sad"]),
        ("👻", []),
        # identifiers and codes
        ("username", ["camel"]),
        ("user name", ["camel"]),
        ("get_user_name", ["camel"]),
        ("48200", ["product"]),
        ("sku48201", ["product2"]),
        ("v1.12.3", ["version"]),
        ("settings.py", ["path"]),
        ("app", ["path"]),
        ("src/app/settings.py", ["path"]),
        ("/usr/local/bin/python3.11", ["absolute"]),
        ("system32", ["windows"]),
        ("xml http request", ["http"]),
        ("xmlhttprequest", ["http"]),
        ("retry", ["retry"]),
        ("maxRetryCount", ["retry"]),
        ("max_retry_count", ["retry"]),
        ("7.8.9", ["release"]),
        ("4.5.6", ["zh-version"]),
        # Latin names beside Chinese
        ("iphone", ["zh-iphone"]),
        ("手机", ["zh-iphone"]),
        # letters with other spellings, marks
        ("aero", ["danish"]),
        ("Æbler", ["danish"]),
        ("oeuvre", ["french"]),
        ("thor", ["icelandic"]),
        ("beta", ["stroke"]),
        ("कलम", ["hi-nukta"]),
        ("unicode", ["fullwidth"]),
        ("שלום", ["he-points"]),
        ("مومن", ["ar-hamza"]),
        ("sisli", ["tr"]),
        ("ISTANBUL", ["tr"]),
        ("іжак", ["uk"]),
    ],
)
def test_finds(follower: LexicalFollower, query: str, expected: list[str]):
    assert sorted(found(follower, query)) == sorted(expected)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("C++", "cpp"),
        ("C#", "csharp"),
        ("F#", "fsharp"),
        (".NET", "fsharp"),
        ("SKU-48200", "product"),
        ("SKU-48201", "product2"),
        ("getUserName", "camel"),
        ("isValidCidr", "snake"),
        ("学点データベース", "ja-kana"),
    ],
)
def test_the_exact_one_comes_first_and_alone(follower: LexicalFollower, query: str, first: str):
    hits = follower.search("default", query, 50, time.monotonic() + WAIT_SECONDS)
    assert hits[0].doc_id == first
    assert len(hits) == 1 or hits[0].score > hits[1].score


def test_a_name_with_a_sign_is_a_word_beside_chinese(tmp_path: Path):
    texts = {"C#": "使用C#编程", "C++": "学习C++语言", ".NET": "用.NET写程序", "c": "学习C语言", "net": "用NET写程序"}
    store = _filled(tmp_path, texts)
    follower = follow(tmp_path)
    for name in ("C#", "C++", ".NET"):
        assert found(follower, f'"{name}"') == found(follower, name)[:1] == [name]
    assert sorted(found(follower, "c -C#")) == ["C++", "c"]
    follower.close()
    store.close()


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        (["The university opened its doors.", "The universe expands, the universe cools."], "university"),
        (["a general idea of it", "generate, generates and generated"], "general"),
        (["the news of today", "new things, a new day"], "news"),
        (["running is fun", "run, run and run again"], "running"),
        (["he organised an organ concert", "organs of organs"], "organ"),
    ],
)
def test_the_exact_form_goes_before_others_of_its_stem(tmp_path: Path, texts: list[str], query: str):
    others = {f"other{number}": f"nothing of the kind {number}" for number in range(20)}
    store = _filled(tmp_path, {"others": texts[1], "exact": texts[0], **others})
    follower = follow(tmp_path)
    assert found(follower, query)[0] == "exact"
    follower.close()
    store.close()


def test_another_form_of_a_word_is_found(tmp_path: Path):
    store = _filled(tmp_path, {"one": "steeped leaves", "two": "Cats and dogs"})
    follower = follow(tmp_path)
    assert found(follower, "steeping leaf")[0] == "one"
    assert found(follower, "cat") == ["two"]
    follower.close()
    store.close()
