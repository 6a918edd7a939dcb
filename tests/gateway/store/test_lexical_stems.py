"""The language of a collection: its stems in the keyword index, and the change from one language to another."""

import time
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.lexical import cache as lexical_cache
from tandem_gateway.adapters.sqlite.lexical import follower as lexical_follower
from tandem_gateway.adapters.sqlite.lexical import merging as lexical_merging
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.analysis.matches import Wanted, matched_spans
from tandem_gateway.analysis.query_syntax import parse
from tandem_gateway.records.documents import CollectionChange
from tests.gateway.store.erasing import files_with
from tests.gateway.store.lexical import change, fill, finish, follow, found
from tests.support.fakes import run
from tests.support.stores import opened

GERMAN = {"one": "Das Haus am See", "many": "Die Häuser der Stadt", "other": "Ein Baum im Wald"}
FRENCH = {"one": "un cheval blanc", "many": "des chevaux sauvages", "other": "une maison"}


def speaks(store: SqliteStore, language: str, collection: str = "default") -> None:
    run(lambda: store.put_collection(collection, CollectionChange(language=language)))


def step_until(follower: LexicalFollower, language: str) -> None:
    """Follow the store until the collection ``default`` has stems of this language."""
    finish(follower)
    assert follower._cache().language(1) == language
    follower._cache().check()


@pytest.mark.parametrize(
    ("language", "texts", "query", "first", "second"),
    [
        ("german", GERMAN, "haus", "one", "many"),
        ("german", GERMAN, "häuser", "many", "one"),
        ("french", FRENCH, "cheval", "one", "many"),
        ("french", FRENCH, "chevaux", "many", "one"),
        ("russian", {"one": "книга на столе", "many": "читать книги", "other": "дом"}, "книга", "one", "many"),
    ],
)
def test_other_forms_are_found_after_the_exact_one(
    tmp_path: Path, language: str, texts: dict[str, str], query: str, first: str, second: str
):
    with opened(tmp_path) as store:
        speaks(store, language)
        fill(store, texts)
        follower = follow(tmp_path)
        assert found(follower, query) == [first, second]
        step_until(follower, language)
        assert found(follower, query) == [first, second]
        follower.close()


def test_none_finds_exact_forms_only(tmp_path: Path):
    with opened(tmp_path) as store:
        speaks(store, "none")
        fill(store, {"one": "a running dog", "many": "he runs"})
        follower = follow(tmp_path)
        assert found(follower, "running") == ["one"]
        assert found(follower, "run") == []
        follower.close()


def test_each_collection_has_its_own_language(tmp_path: Path):
    with opened(tmp_path) as store:
        speaks(store, "german", "books")
        fill(store, GERMAN, "books")
        fill(store, {"one": "a running dog", "many": "he runs"})
        follower = follow(tmp_path)
        assert found(follower, "haus", collection="books") == ["one", "many"]
        assert sorted(found(follower, "run")) == ["many", "one"]
        follower.close()


def test_a_change_of_the_language_is_complete_or_has_no_effect_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lexical_follower, "_PAGE_PASSAGES", 2)
    texts = {f"d{number}": f"Haus {number}" for number in range(7)} | {"many": "Häuser"}
    with opened(tmp_path) as store:
        fill(store, texts)
        follower = follow(tmp_path)
        finish(follower)
        speaks(store, "german")
        states = []
        while True:
            states.append((follower._cache().language(1), len(found(follower, "häuser"))))
            follower._cache().check()
            if len(states) > 1 and states[-1] == states[-2] == ("german", 8):
                break
            follower.step()
        assert set(states) == {("english", 1), ("german", 8)}
        assert states.count(("english", 1)) > 3
        assert states == sorted(states)  # English first
        follower.close()
        again = follow(tmp_path)
        assert again.notices == []
        assert (again._cache().language(1), len(found(again, "häuser"))) == ("german", 8)
        again.close()


def test_passages_come_and_go_while_the_language_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lexical_follower, "_PAGE_PASSAGES", 2)
    with opened(tmp_path) as store:
        fill(store, {f"d{number}": f"Haus {number}" for number in range(9)})
        follower = follow(tmp_path)
        finish(follower)
        speaks(store, "german")
        follower.step()
        follower.step()
        assert follower._cache().changes_language(1)
        for name in ("d0", "d8"):
            assert run(lambda name=name: store.delete("default", name))
        fill(store, {"new": "Häuser"})
        assert sorted(found(follower, "haus")) == [f"d{number}" for number in range(1, 8)]
        step_until(follower, "german")
        assert sorted(found(follower, "haus")) == [f"d{number}" for number in range(1, 8)] + ["new"]
        assert follower.total == 8
        follower.close()


def test_a_restart_goes_on_and_another_language_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lexical_follower, "_PAGE_PASSAGES", 2)
    with opened(tmp_path) as store:
        fill(store, {f"d{number}": f"Haus {number}" for number in range(9)} | {"many": "Häuser"})
        follower = follow(tmp_path)
        finish(follower)
        speaks(store, "german")
        follower.step()
        follower.close()
        follower = follow(tmp_path)
        assert follower._cache().changes_language(1)
        speaks(store, "none")
        step_until(follower, "none")
        assert found(follower, "häuser") == ["many"]
        speaks(store, "german")
        follower.step()
        speaks(store, "none")  # back before the change was complete
        step_until(follower, "none")
        speaks(store, "english")
        step_until(follower, "english")
        follower.close()


def test_removed_words_leave_the_file_after_a_change_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lexical_follower, "_PAGE_PASSAGES", 2)
    monkeypatch.setattr(lexical_merging, "_MERGE_SECONDS", 0.0)
    monkeypatch.setattr(lexical_cache, "_MERGE_PAGES", 1)
    with opened(tmp_path) as store:
        fill(store, {"gone": "zyzzyva " * 5} | {f"d{number}": f"Haus {number}" for number in range(9)})
        follower = follow(tmp_path)
        finish(follower)
        speaks(store, "german")
        follower.step()
        assert run(lambda: store.delete("default", "gone"))
        step_until(follower, "german")
        assert follower._cache().removed(1) == 0
        follower.close()
    assert [name for name in files_with(tmp_path) if name.startswith(FILE_NAME)] == []


def test_a_deleted_collection_takes_its_change_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lexical_follower, "_PAGE_PASSAGES", 2)
    with opened(tmp_path) as store:
        fill(store, {f"d{number}": f"Haus {number}" for number in range(9)}, "books")
        follower = follow(tmp_path)
        finish(follower)
        speaks(store, "german", "books")
        follower.step()
        run(lambda: store.delete_collection("books"))
        finish(follower)
        assert follower._cache()._connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name LIKE '%\\_next%' ESCAPE '\\'"
        ).fetchone() == (0,)
        follower.close()


def test_a_language_without_a_stemmer_in_the_file_makes_it_rebuild(tmp_path: Path):
    with opened(tmp_path) as store:
        speaks(store, "german")
        fill(store, GERMAN)
        follower = follow(tmp_path)
        finish(follower)
        follower.close()
        change(tmp_path / FILE_NAME, "UPDATE languages SET language = 'klingon'")
        follower = follow(tmp_path)
        assert len(follower.notices) == 1
        finish(follower)
        assert found(follower, "haus") == ["one", "many"]
        follower.close()


@pytest.mark.parametrize(
    ("language", "query", "text", "expected"),
    [
        ("german", "haus", "Häuser und ein Haus", ["Häuser", "Haus"]),
        ("french", "cheval", "des chevaux", ["chevaux"]),
        ("none", "run", "running to run", ["run"]),
        ("english", "run", "running to run", ["running", "run"]),
    ],
)
def test_highlights_have_the_same_stems(language: str, query: str, text: str, expected: list[str]):
    spans = matched_spans(text, Wanted(parse(query), language), 10, lambda: None)
    assert [text[start:stop] for start, stop in zip(spans[::2], spans[1::2], strict=True)] == expected


def test_a_change_takes_pieces_of_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lexical_follower, "_PAGE_CHARS", 10)
    with opened(tmp_path) as store:
        fill(store, {f"d{number}": "Häuser " * 3 for number in range(4)})
        follower = follow(tmp_path)
        finish(follower)
        speaks(store, "german")
        steps = 0
        while follower.step():
            steps += 1
        assert steps >= 3
        assert follower._cache().language(1) == "german"
        started = time.monotonic()
        assert follower.retrieve("default", "haus", 10, started + 60).passages
        follower.close()
