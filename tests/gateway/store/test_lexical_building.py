"""The build of the keyword index: it resumes, refuses early searches, and reports its progress."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.lexical import follower as follower_module
from tandem_gateway.adapters.sqlite.lexical import progress as progress_module
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import NotReady
from tests.gateway.store.lexical import TEXTS, fill, finish, follow, found


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "_PAGE_PASSAGES", 2)


@pytest.mark.usefixtures("small_pages")
def test_an_index_that_was_killed_while_it_was_built_goes_on_where_it_was(store: SqliteStore, tmp_path: Path):
    fill(store, {f"d{number}": f"zebra {number}" for number in range(20)})
    first = follow(tmp_path)
    for _ in range(4):
        assert first.step()
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob("*sqlite3*"):
        shutil.copyfile(path, left / path.name)
    first.close()
    second = follow(left)
    assert second.notices == []
    assert second._cache().position == 8
    pages = 0
    while second.step():
        pages += 1
    assert pages == 6
    assert len(found(second, "zebra", 50)) == 20
    second.close()


def test_a_search_waits_for_no_index_that_is_far_behind(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(store)
    follower = follow(tmp_path)
    monkeypatch.setattr(follower_module, "_MAX_BEHIND", len(TEXTS) - 1)
    with pytest.raises(NotReady, match=r"passage 0 of 5"):
        found(follower, "cat")
    finish(follower)
    assert sorted(found(follower, "cat")) == ["cat", "cats"]
    follower.close()


def test_a_build_reports_its_progress(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(progress_module, "_WORTH_TELLING", 3)
    monkeypatch.setattr(follower_module, "_PAGE_PASSAGES", 2)
    monkeypatch.setattr(progress_module, "_SECONDS", 0.0)
    caplog.set_level("INFO")
    fill(store)
    follower = follow(tmp_path)
    finish(follower)
    follower.close()
    told = [(record.message, getattr(record, "passage", None)) for record in caplog.records]
    assert told == [
        *(("building the keyword index", passage) for passage in (0, 2, 4)),
        ("keyword index built", None),
    ]


def test_a_file_of_the_first_version_is_rebuilt_with_a_word_in_the_log(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(progress_module, "_WORTH_TELLING", 3)
    caplog.set_level("INFO")
    fill(store)
    for name in (FILE_NAME, f"{FILE_NAME}.next"):
        old = sqlite3.connect(tmp_path / name)
        old.executescript(
            "PRAGMA application_id=0x544E444C; PRAGMA user_version=1;"
            "CREATE TABLE position (store_id TEXT NOT NULL, row_id INTEGER NOT NULL) STRICT;"
            "CREATE TABLE collections (collection_id INTEGER PRIMARY KEY, documents INTEGER NOT NULL) STRICT;"
            "CREATE VIRTUAL TABLE words_1 USING fts5(text, content='', tokenize='porter unicode61');"
        )
        old.close()
    follower = follow(tmp_path)
    assert follower.notices == [f"{FILE_NAME} is rebuilt from the store: it is of version 1, not of 2"]
    finish(follower)
    assert [record.message for record in caplog.records] == ["building the keyword index", "keyword index built"]
    assert found(follower, "tea") == ["tea"]
    follower.close()
    assert sorted(path.name for path in tmp_path.glob(f"{FILE_NAME}*")) == [FILE_NAME]
