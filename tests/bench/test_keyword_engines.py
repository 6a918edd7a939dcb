"""The comparison of keyword engines: its corpus, both FTS5 engines, and what it says without tantivy."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_bench import keyword_engines
from gateway_bench.keyword import zipf
from gateway_bench.keyword.engine import Damaged, Engine, Unsupported
from gateway_bench.keyword.fts5 import Fts5File, Fts5Store

DOCUMENTS = 1_200


@pytest.fixture(params=[Fts5File, Fts5Store])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made: Engine = request.param(tmp_path)
    made.add(zipf.rows(0, DOCUMENTS))
    yield made
    made.close()


def test_the_corpus_is_the_same_for_every_call() -> None:
    whole = zipf.rows(0, 2_100)
    assert [row.row_id for row in whole] == list(range(2_100))
    assert whole[995:1_005] == zipf.rows(995, 10)
    assert sum(zipf.word(0) in row.text.split() for row in whole) > 2_000
    assert all(row.text.endswith(zipf.own_word(row.row_id)) for row in whole)
    assert all(len(of_kind) == 7 for of_kind in zipf.queries(7).values())


def test_an_engine_finds_words_phrases_and_prefixes(engine: Engine) -> None:
    words = zipf.rows(7, 1)[0].text.split()
    assert engine.search(zipf.own_word(7), 10) == [7]
    assert engine.phrase(f"{words[-2]} {words[-1]}", 10) == [7]
    assert engine.phrase(f"{words[-1]} {words[-2]}", 10) == []
    assert set(engine.prefix("own119", 20)) == {119, *range(1_190, 1_200)}
    assert engine.search("nosuchword", 10) == []


def test_an_engine_searches_among_allowed_documents(engine: Engine) -> None:
    assert engine.among(f"{zipf.own_word(7)} {zipf.own_word(8)}", [1, 8], 10) == [8]


def test_metadata_are_in_the_store(tmp_path: Path) -> None:
    store = Fts5Store(tmp_path)
    store.add(zipf.rows(0, 200))
    words = " ".join(zipf.own_word(number) for number in (5, 6, 105))
    assert sorted(store.within(words, 5, 10)) == [5, 105]
    assert store.facets(words) == {5: 2, 6: 1}
    store.close()
    file = Fts5File(tmp_path)
    with pytest.raises(Unsupported):
        file.facets(words)
    with pytest.raises(Unsupported):
        file.within(words, 5, 10)
    file.add(zipf.rows(0, 200))
    file.attach(tmp_path / "store.sqlite3")
    assert sorted(file.within(words, 5, 10)) == [5, 105]
    assert file.facets(words) == {5: 2, 6: 1}
    file.close()


def test_a_removed_document_leaves_hits_and_frequencies(engine: Engine) -> None:
    common = zipf.word(0)
    texts = {row.row_id: row.text.split() for row in zipf.rows(0, DOCUMENTS)}
    assert engine.frequency(common) == sum(common in words for words in texts.values())
    gone = range(0, DOCUMENTS, 3)
    engine.remove(gone)
    assert engine.frequency(common) == sum(common in words for number, words in texts.items() if number not in gone)
    assert engine.search(zipf.own_word(3), 10) == []
    engine.wait()
    engine.purge()
    engine.check()
    assert engine.search(zipf.own_word(4), 10) == [4]


@pytest.mark.parametrize(("kind", "name"), [(Fts5File, "lexical.sqlite3"), (Fts5Store, "store.sqlite3")])
def test_damage_is_reported_as_such(kind: type[Fts5File] | type[Fts5Store], name: str, tmp_path: Path) -> None:
    engine = kind(tmp_path)
    engine.add(zipf.rows(0, 500))
    engine.close()
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.raises(Damaged):
        kind(tmp_path)


@pytest.mark.slow
def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--documents", "600", "--engines", "fts5-file,fts5-store", "--queries", "2", "--trials", "1"]
    assert keyword_engines.main([*arguments, "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| 600 documents | fts5-file | fts5-store | store-alone |" in lines
    assert "| words of removed documents that ranking counts | 0 of 60 | 0 of 60 |  |" in lines
    assert "| Chinese, Japanese, Korean, Thai, Lao, codes: right | 13 of 13 | 13 of 13 |" in lines
    assert list(tmp_path.iterdir()) == []


def test_a_missing_tantivy_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert keyword_engines.main([]) == 1
    assert "needs the package tantivy: pip install tantivy==" in capsys.readouterr().err


def test_an_unknown_engine_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        keyword_engines.main(["--engines", "lucene"])
    assert ended.value.code == 2
    assert "one of fts5-file, fts5-store, tantivy was expected, not 'lucene'" in capsys.readouterr().err
