"""Phrases, exclusions and prefixes in the keyword index."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tandem_gateway.adapters.sqlite.lexical import query
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.analysis.query_syntax import parse
from tandem_gateway.analysis.terms import document_terms, sequence_of
from tandem_gateway.errors import DeadlineExceeded, NotFound
from tests.gateway.store.lexical import fill, follow, found
from tests.support.fakes import WAIT_SECONDS
from tests.support.stores import open_store

TEXTS = {
    "green": "Green tea, and black coffee",
    "tea-green": "tea that is green",
    "hyphen": "a green-tea shop",
    "accents": "Thé vert: gréen TÉA",
    "cats": "cats like tea",
    "cat": "a cat",
    "university": "the university",
    "universe": "the universe",
    "cpp": "C++ is fast",
    "c": "C is fast",
    "net": "runs on .NET today",
    "zh": "我们在数据库中建立全文索引",
    "zh-other": "据数库",
    "mixed": "请使用Python编程",
    "th": "ฉันชอบกินข้าวผัด",
    "ko": "데이터베이스에서 문서를 검색합니다",
    "camel": "teaParty with green",
    "emoji": "party 🎉 time",
}


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LexicalFollower]:
    folder = tmp_path_factory.mktemp("syntax")
    store = open_store(folder)
    fill(store, TEXTS)
    made = follow(folder)
    yield made
    made.close()
    store.close()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ('"green tea"', ["green", "hyphen", "accents"]),
        ('"tea green"', []),
        ('"GREEN TÉA"', ["green", "hyphen", "accents"]),
        ('"green-tea"', ["green", "hyphen", "accents"]),
        ('"green tea" coffee', ["green", "hyphen", "accents"]),
        ('"green tea" "black coffee"', ["green"]),
        ('"tea"', ["green", "tea-green", "hyphen", "accents", "cats", "camel"]),
        ('"cat"', ["cat"]),
        ('"green te*"', ["green", "hyphen", "accents"]),
        ('"C++ is"', ["cpp"]),
        ('"C is"', ["cpp", "c"]),
        ('"数据库"', ["zh"]),
        ('"数据库中"', ["zh"]),
        ('"使用python编"', ["mixed"]),
        ('"ข้าวผัด"', ["th"]),
        ('"문서를 검색"', ["ko"]),
        ('"문서"', ["ko"]),
        ('"party 🎉"', ["emoji"]),
        ('"with green tea"', []),
        ("tea -green", ["cats"]),
        ("cat -cats", ["cat"]),
        ("universe -university", ["universe"]),
        ('tea -"green tea"', ["tea-green", "cats", "camel"]),
        ("fast -C++", ["c"]),
        ("runs -.NET", []),
        ("tea -gre*", ["cats"]),
        ("数据库 -全文索引", []),
        ("univers*", ["university", "universe"]),
        ("universi*", ["university"]),
        ("数据*", ["zh"]),
        ("-tea", []),
        ("nothing -tea", []),
    ],
)
def test_finds(follower: LexicalFollower, asked: str, expected: list[str]):
    assert sorted(found(follower, asked, 50)) == sorted(expected)
    allowed = follower.allowed("default", asked, time.monotonic() + WAIT_SECONDS).tolist()
    assert allowed == sorted(set(allowed))
    ids = dict(enumerate(TEXTS, start=1))
    assert {ids[number] for number in allowed} >= set(expected)


def test_a_filter_and_a_constraint_hold_together(follower: LexicalFollower):
    deadline = time.monotonic() + WAIT_SECONDS
    among = follower.allowed("default", '"tea"', deadline)
    hits = follower.retrieve("default", "green -shop", 50, deadline, among).passages
    assert len(hits) == 4
    assert {each.passage_id for each in hits} < set(among.tolist())


def test_a_common_phrase_is_found_without_the_rare_word_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(query, "_FEW", 10)
    store = open_store(tmp_path)
    fill(store, {f"d{number}": "of the" for number in range(120)} | {"zebra": "zebra", "both": "of the zebra"})
    follower = follow(tmp_path)
    hits = found(follower, '"of the" zebra', 2000)
    assert (hits[0], len(hits), "zebra" in hits) == ("both", 121, False)
    follower.close()
    store.close()


def test_deleted_documents_and_other_collections(tmp_path: Path):
    store = open_store(tmp_path)
    fill(store, TEXTS)
    fill(store, {"x": "green tea"}, "books")
    follower = follow(tmp_path)
    deadline = time.monotonic() + WAIT_SECONDS
    assert found(follower, '"green tea" -cat', 5, "books") == ["x"]
    assert len(follower.allowed("default", "tea -cat", deadline)) == len(TEXTS) - 1
    with pytest.raises(NotFound):
        follower.allowed("none", '"a"', deadline)
    with pytest.raises(DeadlineExceeded):
        follower.allowed("default", '"green tea"', 0.0)
    follower.close()
    store.close()


SIGNS = [
    '"',
    "-",
    "*",
    " ",
    "“",
    "tea",
    "green",
    "C++",
    ".NET",
    "数",
    "据",
    "AND",
    "NOT",
    "NEAR(",
    ":",
    "+",
    "^",
    "ข้าว",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(text='"TEA"')
@given(
    text=st.one_of(
        st.text(), st.lists(st.sampled_from(SIGNS)).map("".join), st.lists(st.sampled_from(SIGNS)).map(" ".join)
    )
)
def test_no_query_is_an_error_and_its_constraints_hold(follower: LexicalFollower, text: str):
    asked = parse(text)
    for doc_id in found(follower, text, 50):
        words, names = sequence_of(TEXTS[doc_id])
        written = " ".join(["", *words, ""])
        for phrase in asked.phrases:
            looked_at = written
            if len(phrase.words) == 1:  # it may be a part of a name, such as "tea" of "teaParty"
                looked_at += " ".join([*document_terms(TEXTS[doc_id]).exact, ""])
            assert f" {' '.join(phrase.words)}{'' if phrase.prefix else ' '}" in looked_at
            assert set(phrase.names) <= set(names)
        for each in asked.excluded:
            assert not set(each.names) <= set(names) or f" {' '.join(each.words)} " not in written


@pytest.mark.parametrize(
    "asked",
    [
        '"' + "tea " * 2000 + '"',
        " ".join(f"-w{number}" for number in range(1500)) + " tea",
        " ".join(f'"w{number}"' for number in range(1000)),
        " ".join(f"w{number}*" for number in range(1500)),
        "tea " + " ".join(f"-t{number}*" for number in range(1500)),
    ],
)
def test_the_largest_queries_are_answered(follower: LexicalFollower, asked: str):
    assert set(found(follower, asked, 50)) <= {"green", "tea-green", "hyphen", "accents", "cats", "camel"}


def test_an_index_of_an_earlier_analysis_is_rebuilt(tmp_path: Path):
    store = open_store(tmp_path)
    fill(store, TEXTS)
    follower = follow(tmp_path)
    assert found(follower, '"green tea"')
    with follower._cache()._transaction() as execute:
        execute("UPDATE position SET analysis = '2/' || substr(analysis, 3)")
    follower.close()
    follower = follow(tmp_path)
    assert ["its terms are of version 2/" in notice for notice in follower.notices] == [True]
    assert len(found(follower, '"green tea"')) == 3
    follower.close()
    store.close()
