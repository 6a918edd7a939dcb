"""The keyword index is rebuilt after any damage to its file, and `verify` reports the damage."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tandem_gateway.adapters.sqlite.lexical import maintenance
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import (
    NotReady,
    StorageUnavailable,
)
from tests.gateway.store.lexical import TEXTS, change, fill, finish, follow, found, open_feed
from tests.support.fakes import run
from tests.support.stores import opened


def overwrite_data(path: Path, seed: int) -> None:
    """Write other bytes over the data of the index."""
    made = random.Random(seed)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for (number,) in file.execute("SELECT id FROM words_1_data ORDER BY id").fetchall():
            file.execute("UPDATE words_1_data SET block = ? WHERE id = ?", (made.randbytes(50), number))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"no database at all " * 1000),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "missing": lambda path: path.unlink(),
    "another version": lambda path: change(path, "PRAGMA user_version=99"),
    "terms of another version": lambda path: change(path, "UPDATE position SET analysis = '0'"),
    "another store": lambda path: change(path, "UPDATE position SET store_id = 'another'"),
    "ahead of the store": lambda path: change(path, "UPDATE position SET row_id = 1000000"),
    "no position": lambda path: change(path, "DELETE FROM position"),
    "fewer rows": lambda path: change(path, "DELETE FROM words_1_docsize WHERE id = 1"),
    "no words": lambda path: change(path, "DELETE FROM words_1_data"),
    "other data": lambda path: overwrite_data(path, seed=0),
    "data that SQLite needs too much memory for": lambda path: overwrite_data(path, seed=13),
    "no table": lambda path: change(path, "DROP TABLE words_1"),
    "an empty folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to(path.with_name("nothing"))),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_the_index_is_rebuilt_after_any_damage(store: SqliteStore, tmp_path: Path, how: str):
    fill(store)
    first = follow(tmp_path)
    finish(first)
    first.close()
    DAMAGE[how](tmp_path / FILE_NAME)
    second = follow(tmp_path)
    if not second.notices and how not in ("missing", "empty"):
        with pytest.raises(NotReady, match="is rebuilt"):  # a search finds the damage later
            found(second, "tea")
    assert found(second, "tea") == ["tea"]
    assert run(lambda: store.document("default", "tea")) is not None
    second.close()


@pytest.mark.slow
def test_flipped_bits_anywhere_neither_crash_nor_lose_anything(store: SqliteStore, tmp_path: Path):
    texts = {f"d{number}": f"{'zebra' if number % 3 else 'tea'} number {number}" for number in range(200)}
    fill(store, texts)
    first = follow(tmp_path)
    finish(first)
    first.close()
    whole = (tmp_path / FILE_NAME).read_bytes()
    chance = random.Random(23)
    built_anew = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        (tmp_path / FILE_NAME).write_bytes(damaged)
        follower = follow(tmp_path)
        built_anew += bool(follower.notices)
        for query in ("tea", "number 7", "zebra"):
            try:
                answer = found(follower, query, 500)
            except NotReady:
                built_anew += 1
                answer = found(follower, query, 500)
            assert set(answer) <= {*texts, "last"}
        fill(store, {"last": f"something new {built_anew}"})
        finish(follower)
        follower.close()
    assert built_anew > 20


def test_passage_ids_are_those_of_the_store_after_damage(store: SqliteStore, tmp_path: Path):
    fill(store)
    follower = follow(tmp_path)
    finish(follower)
    np.testing.assert_array_equal(np.sort(follower._cache().passage_ids(1)), np.arange(1, len(TEXTS) + 1))
    follower._cache().check()
    follower.close()


def test_a_path_that_cannot_be_removed_does_not_prevent_the_start(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    fill(store)
    (tmp_path / FILE_NAME / "of somebody").mkdir(parents=True)
    follower = follow(tmp_path)
    assert [record.message for record in caplog.records] == ["the keyword index cannot be opened"]
    with pytest.raises(StorageUnavailable, match=rf"{FILE_NAME} is in the way of the keyword index") as caught:
        found(follower, "cat")
    assert "\n" not in str(caught.value)
    (tmp_path / FILE_NAME / "of somebody").rmdir()
    assert found(follower, "tea") == ["tea"]
    follower.close()


def test_to_verify_an_index_of_another_release_is_no_fault(tmp_path: Path):
    said: list[str] = []
    with opened(tmp_path) as store:
        fill(store)
        follower = follow(tmp_path)
        finish(follower)
        follower.close()
    older = sqlite3.connect(tmp_path / FILE_NAME)
    older.execute("PRAGMA user_version=1")
    older.close()
    assert maintenance.verify(tmp_path, lambda: open_feed(tmp_path), said.append), said
    assert said[-1] == "keyword index: it is of version 1, not of 2; the next start rebuilds it"


def test_maintenance_reports_what_is_in_place_of_the_file(store: SqliteStore, tmp_path: Path):
    fill(store)
    said: list[str] = []
    (tmp_path / FILE_NAME).mkdir()
    assert not maintenance.verify(tmp_path, lambda: open_feed(tmp_path), said.append)
    assert said == ["keyword index: it is a folder; run `python -m tandem_gateway rebuild`"]
    (tmp_path / FILE_NAME / "of somebody").touch()
    with pytest.raises(StorageUnavailable, match="is in the way of the keyword index and cannot be removed"):
        maintenance.rebuild(tmp_path, lambda: open_feed(tmp_path), said.append)
    (tmp_path / FILE_NAME / "of somebody").unlink()
    assert maintenance.rebuild(tmp_path, lambda: open_feed(tmp_path), said.append) == len(TEXTS)
    assert maintenance.verify(tmp_path, lambda: open_feed(tmp_path), said.append)


def test_verify_reads_the_texts_too(store: SqliteStore, tmp_path: Path):
    fill(store)
    said: list[str] = []
    maintenance.rebuild(tmp_path, lambda: open_feed(tmp_path), said.append)
    for statement, expected in (
        ("UPDATE texts_1 SET text = x'00' WHERE row_id = 2", "a text in it is damaged"),
        ("DELETE FROM texts_1 WHERE row_id = 2", "1 of its passages have no text"),
    ):
        change(tmp_path / FILE_NAME, statement)
        assert not maintenance.verify(tmp_path, lambda: open_feed(tmp_path), said.append)
        assert expected in said[-1]
