"""The lexical index: finds what the store has, whatever happens to its file, which can always be built anew."""

import asyncio
import contextlib
import gc
import itertools
import random
import shutil
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tandem_gateway.adapters.sqlite.lexical import cache as cache_module
from tandem_gateway.adapters.sqlite.lexical import follower as follower_module
from tandem_gateway.adapters.sqlite.lexical import maintenance
from tandem_gateway.adapters.sqlite.lexical import progress as progress_module
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.sqlite.schema import row_checksum
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    StorageUnavailable,
    TooManyBytes,
)
from tandem_gateway.records.search import Hit
from tandem_runtime.memory import MemoryBudget
from tests.support.fakes import WAIT_SECONDS, answer_limits, eventually, run, turns
from tests.support.stores import NOW, document, embed_pending, ingest, opened

TEXTS = {
    "cat": "The cat sat on the mat",
    "tea": "Steep the tea leaves for three minutes",
    "cats": "Cats and dogs, and cats again",
    "cafe": "Un café près de la gare",
    "code": "C++ and snake_case in hello-world programs",
}


_jobs = itertools.count()


def fill(store: SqliteStore, texts: dict[str, str] = TEXTS, collection: str = "default") -> None:
    job_id = f"job{next(_jobs)}"
    run(lambda: ingest(store, [document(*item) for item in texts.items()], job_id, collection))


@pytest.fixture
def follower(store: SqliteStore, tmp_path: Path) -> Iterator[LexicalFollower]:
    fill(store)
    made = LexicalFollower(tmp_path)
    yield made
    made.close()


def found(follower: LexicalFollower, query: str, top_k: int = 10, collection: str = "default") -> list[str]:
    hits = follower.search(collection, query, top_k, time.monotonic() + WAIT_SECONDS)
    assert all(hit.score > 0 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [hit.doc_id for hit in hits]


def finish(follower: LexicalFollower) -> None:
    while follower.step():
        pass


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cat", ["cat", "cats"]),
        ("steeped leaf", ["tea"]),
        ("CAFE pres", ["cafe"]),
        ("hello-world", ["code"]),
        ("c++", ["code"]),
        ("snake", ["code"]),
        ("minutes OR nothing AND (", ["tea", "cats", "code"]),
        ("zebra", []),
        ("!!!", []),
    ],
)
def test_finds_by_words(follower: LexicalFollower, query: str, expected: list[str]):
    assert sorted(found(follower, query)) == sorted(expected)


def test_the_best_come_first_and_no_more_than_asked_for(follower: LexicalFollower):
    assert found(follower, "tea cat") == ["tea", "cat", "cats"] or found(follower, "tea cat")[0] == "tea"
    assert found(follower, "the", 1) == found(follower, "the")[:1]


def test_of_equal_hits_the_one_that_was_stored_first_comes_first(follower: LexicalFollower, store: SqliteStore):
    fill(store, {f"same{number}": "quite the same words" for number in (3, 1, 2)})
    assert found(follower, "same") == ["same3", "same1", "same2"]


async def test_what_is_acknowledged_is_found_at_once_and_what_is_deleted_no_more(
    follower: LexicalFollower, store: SqliteStore
):
    await store.accept("more", "default", [document("new", "a zebra waits"), document("cat", "a zebra now")], NOW)
    assert found(follower, "zebra") == ["new"]  # of "cat", dense search still finds the older version
    assert "cat" in found(follower, "mat")
    await embed_pending(store)
    assert sorted(found(follower, "zebra")) == ["cat", "new"]
    assert found(follower, "mat") == []
    await store.delete("default", "new")
    assert found(follower, "zebra") == ["cat"]


def test_collections_are_searched_apart(follower: LexicalFollower, store: SqliteStore):
    fill(store, {"other": "a cat elsewhere"}, "books")
    assert found(follower, "cat", collection="books") == ["other"]
    assert "other" not in found(follower, "cat")
    run(lambda: store.delete_collection("books"))
    with pytest.raises(NotFound, match="books"):
        found(follower, "cat", collection="books")
    finish(follower)
    assert found(follower, "cat") == ["cat", "cats"] or found(follower, "cat") == ["cats", "cat"]
    fill(store, {"again": "a cat again"}, "books")
    assert found(follower, "cat", collection="books") == ["again"]


def test_rows_that_are_gone_do_not_push_hits_out(follower: LexicalFollower, store: SqliteStore):
    for number in range(60):
        fill(store, {"often": f"zebra zebra zebra {number}"})
    fill(store, {"once": "there was a zebra among many other animals of the plain"})
    assert found(follower, "zebra", 2) == ["often", "once"]
    assert found(follower, "zebra", 1) == ["often"]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "_PAGE_ROWS", 2)


@pytest.mark.usefixtures("small_pages")
def test_an_index_that_was_killed_while_it_was_built_goes_on_where_it_was(store: SqliteStore, tmp_path: Path):
    fill(store, {f"d{number}": f"zebra {number}" for number in range(20)})
    first = LexicalFollower(tmp_path)
    for _ in range(4):
        assert first.step()
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob("*sqlite3*"):
        shutil.copyfile(path, left / path.name)
    first.close()
    second = LexicalFollower(left)
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
    follower = LexicalFollower(tmp_path)
    monkeypatch.setattr(follower_module, "_MAX_BEHIND", len(TEXTS) - 1)
    with pytest.raises(NotReady, match=r"row 0 of 5"):
        found(follower, "cat")
    finish(follower)
    assert sorted(found(follower, "cat")) == ["cat", "cats"]
    follower.close()


def test_building_is_told_with_its_progress(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(progress_module, "_WORTH_TELLING", 3)
    monkeypatch.setattr(follower_module, "_PAGE_ROWS", 2)
    monkeypatch.setattr(progress_module, "_SECONDS", 0.0)
    caplog.set_level("INFO")
    fill(store)
    follower = LexicalFollower(tmp_path)
    finish(follower)
    follower.close()
    told = [(record.message, getattr(record, "row", None)) for record in caplog.records]
    assert told == [
        *(("building the lexical index", row) for row in (0, 2, 4)),
        ("lexical index built", None),
    ]


def test_a_search_ends_at_its_deadline(follower: LexicalFollower):
    finish(follower)
    with pytest.raises(DeadlineExceeded):
        follower.search("default", "cat", 5, time.monotonic())
    assert found(follower, "cat", 1)


def test_a_search_that_takes_long_is_interrupted(follower: LexicalFollower, monkeypatch: pytest.MonkeyPatch):
    finish(follower)
    monkeypatch.setattr(cache_module, "_PROGRESS_STEPS", 1)
    answers = iter([False, False, False])
    with pytest.raises(DeadlineExceeded):
        follower._cache().search(1, "the", 5, lambda: next(answers, True))
    assert found(follower, "cat", 1)


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
    "other data": lambda path: change(path, "UPDATE words_1_data SET block = randomblob(50)"),
    "no table": lambda path: change(path, "DROP TABLE words_1"),
    "an empty folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to(path.with_name("nothing"))),
}


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("how", DAMAGE)
def test_whatever_its_file_is_the_index_is_built_anew(store: SqliteStore, tmp_path: Path, how: str):
    fill(store)
    first = LexicalFollower(tmp_path)
    finish(first)
    first.close()
    DAMAGE[how](tmp_path / FILE_NAME)
    second = LexicalFollower(tmp_path)
    if not second.notices and how not in ("missing", "empty"):
        with pytest.raises(NotReady, match="is rebuilt"):  # the damage shows when it is met
            found(second, "tea")
    assert found(second, "tea") == ["tea"]
    assert run(lambda: store.document("default", "tea")) is not None
    second.close()


@pytest.mark.slow
def test_flipped_bits_anywhere_neither_crash_nor_lose_anything(store: SqliteStore, tmp_path: Path):
    texts = {f"d{number}": f"{'zebra' if number % 3 else 'tea'} number {number}" for number in range(200)}
    fill(store, texts)
    first = LexicalFollower(tmp_path)
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
        follower = LexicalFollower(tmp_path)
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


def test_row_ids_are_those_of_the_store_after_damage(store: SqliteStore, tmp_path: Path):
    fill(store)
    follower = LexicalFollower(tmp_path)
    finish(follower)
    np.testing.assert_array_equal(np.sort(follower._cache().row_ids(1)), np.arange(1, len(TEXTS) + 1))
    follower._cache().check()
    follower.close()


def test_what_cannot_be_removed_from_its_place_is_no_reason_not_to_start(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    fill(store)
    (tmp_path / FILE_NAME / "of somebody").mkdir(parents=True)
    follower = LexicalFollower(tmp_path)
    assert [record.message for record in caplog.records] == ["the lexical index cannot be opened"]
    with pytest.raises(StorageUnavailable, match=rf"{FILE_NAME} is in the way of the lexical index") as caught:
        found(follower, "cat")
    assert "\n" not in str(caught.value)
    (tmp_path / FILE_NAME / "of somebody").rmdir()
    assert found(follower, "tea") == ["tea"]
    follower.close()


async def test_the_thread_follows_by_itself_and_answers(store: SqliteStore, tmp_path: Path):
    seconds: list[float] = []
    lexical = LexicalThread(tmp_path, max_queued=4, limits=answer_limits(), on_search=seconds.append)
    lexical.start().result(WAIT_SECONDS)
    await ingest(store, [document(*item) for item in TEXTS.items()])
    lexical.notify()

    async def position() -> int:
        return lexical._require_follower()._cache().position

    await eventually(position, lambda reached: reached == len(TEXTS))
    hits = await lexical.search("default", "tea", 5, timeout=WAIT_SECONDS)
    assert [(hit.doc_id, hit.text) for hit in hits] == [("tea", TEXTS["tea"])]
    assert len(seconds) == 1
    with pytest.raises(NotFound):
        await lexical.search("nowhere", "tea", 5, timeout=WAIT_SECONDS)
    lexical.close()
    with pytest.raises(NotReady):
        await lexical.search("default", "tea", 5, timeout=WAIT_SECONDS)


async def test_over_the_bound_a_lexical_search_is_refused_and_one_whose_time_is_up_is_not_run(
    store: SqliteStore, tmp_path: Path
):
    await ingest(store, [document(*item) for item in TEXTS.items()])
    searched: list[float] = []
    lexical = LexicalThread(tmp_path, max_queued=2, limits=answer_limits(), on_search=searched.append)
    lexical.start().result(WAIT_SECONDS)
    gate = asyncio.Event()
    held = asyncio.get_running_loop()
    lexical._tasks.put(lambda: asyncio.run_coroutine_threadsafe(gate.wait(), held).result(WAIT_SECONDS) and None)
    hurried = asyncio.create_task(lexical.search("default", "tea", 5, timeout=0.01))
    patient = asyncio.create_task(lexical.search("default", "tea", 5, timeout=WAIT_SECONDS))
    await turns()
    with pytest.raises(Overloaded, match="TANDEM_MAX_QUEUED_QUERIES"):
        await lexical.search("default", "tea", 5, timeout=WAIT_SECONDS)
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
        await hurried
    gate.set()
    assert [hit.doc_id for hit in await patient] == ["tea"]
    assert len(searched) == 1
    await asyncio.to_thread(lexical.close)


def test_an_answer_over_its_limit_is_refused_before_its_texts_are_read(store: SqliteStore, tmp_path: Path):
    fill(store, {f"d{number}": f"zebra {number} " + "x" * 100_000 for number in range(8)})
    follower = LexicalFollower(tmp_path)
    read: list[int] = []
    follower._store.create_function("row_checksum", -1, lambda *row: read.append(row[0]) or row_checksum(*row))
    deadline = time.monotonic() + WAIT_SECONDS
    with pytest.raises(TooManyBytes):
        follower.search("default", "zebra", 8, deadline, 250_000)
    assert len(read) <= 4
    read.clear()
    assert len(follower.search("default", "zebra", 2, deadline, 250_000)) == 2
    assert len(read) == 2
    follower.close()


async def test_answers_are_bounded_and_hold_their_memory_until_they_are_forgotten(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}", f"zebra {number} " + "x" * 100_000) for number in range(8)])
    limits = AnswerLimits(450_000, MemoryBudget(500_000, "TANDEM_SOMETHING"))
    lexical = LexicalThread(tmp_path, max_queued=4, limits=limits)
    lexical.start().result(WAIT_SECONDS)
    with pytest.raises(InvalidRequest, match="TANDEM_MAX_ANSWER_BYTES") as caught:
        await lexical.search("default", "zebra", 5, timeout=WAIT_SECONDS)
    assert (caught.value.code, caught.value.param) == ("limit_exceeded", "top_k")
    first = await lexical.search("default", "zebra", 4, timeout=WAIT_SECONDS)
    assert len(first) == 4
    assert 300_000 < limits.memory.held < 500_000
    with pytest.raises(Overloaded, match="TANDEM_SOMETHING"):
        await lexical.search("default", "zebra", 4, timeout=WAIT_SECONDS)
    del first
    await eventually_free(limits.memory)
    assert len(await lexical.search("default", "zebra", 4, timeout=WAIT_SECONDS)) == 4
    lexical.close()


async def eventually_free(memory: MemoryBudget) -> None:
    async def held() -> int:
        return memory.held

    await eventually(held, lambda bytes: bytes == 0)


async def test_the_idle_thread_keeps_neither_its_last_answer_nor_its_last_error(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("long", "zebra " + "x" * 100_000)])
    limits = answer_limits()
    lexical = LexicalThread(tmp_path, max_queued=4, limits=limits)
    lexical.start().result(WAIT_SECONDS)
    gc.disable()
    try:
        assert len(await lexical.search("default", "zebra", 1, timeout=WAIT_SECONDS)) == 1
        await eventually_free(limits.memory)
        errors: list[weakref.ref[BaseException]] = []

        class Failure(Exception):
            pass

        def fail(*_: object) -> list[Hit]:
            failure = Failure()
            errors.append(weakref.ref(failure))
            try:
                raise failure
            finally:
                del failure

        lexical._require_follower().search = fail  # type: ignore[method-assign]
        with contextlib.suppress(Failure):  # pytest.raises would keep the error
            await lexical.search("default", "zebra", 1, timeout=WAIT_SECONDS)
        assert len(errors) == 1

        async def alive() -> bool:
            return errors[0]() is not None

        await eventually(alive, lambda there: not there)
    finally:
        gc.enable()
    lexical.close()


def test_a_word_that_was_searched_before_it_was_there_is_found(follower: LexicalFollower, store: SqliteStore):
    fill(store, {f"d{number}": f"filler {number}" for number in range(200)})
    assert found(follower, "zebra") == []
    fill(store, {"new": "a zebra at last"})
    assert found(follower, "zebra") == ["new"]


def test_a_shorter_list_is_the_beginning_of_a_longer_one(follower: LexicalFollower, store: SqliteStore):
    fill(store, {f"same{number}": "the very same zebra" for number in range(30)})
    fill(store, {f"d{number}": f"zebra {'okapi ' * (number % 5)}" for number in range(30)})
    longest = found(follower, "zebra okapi", 60)
    assert len(longest) == 60
    for top_k in (1, 2, 5, 17, 59):
        assert found(follower, "zebra okapi", top_k) == longest[:top_k]
    same = [doc_id for doc_id in longest if doc_id.startswith("same")]
    assert same == [f"same{number}" for number in range(30)]


def test_to_verify_an_index_of_another_release_is_no_fault(tmp_path: Path):
    said: list[str] = []
    with opened(tmp_path) as store:
        fill(store)
        follower = LexicalFollower(tmp_path)
        finish(follower)
        follower.close()
    older = sqlite3.connect(tmp_path / FILE_NAME)
    older.execute("PRAGMA user_version=1")
    older.close()
    assert maintenance.verify(tmp_path, said.append), said
    assert said[-1] == "lexical index: it is of version 1, not of 2; the next start rebuilds it"


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
    follower = LexicalFollower(tmp_path)
    assert follower.notices == [f"{FILE_NAME} is rebuilt from the store: it is of version 1, not of 2"]
    finish(follower)
    assert [record.message for record in caplog.records] == ["building the lexical index", "lexical index built"]
    assert found(follower, "tea") == ["tea"]
    follower.close()
    assert sorted(path.name for path in tmp_path.glob(f"{FILE_NAME}*")) == [FILE_NAME]


def test_maintenance_tells_what_is_in_the_place_of_the_file(store: SqliteStore, tmp_path: Path):
    fill(store)
    said: list[str] = []
    (tmp_path / FILE_NAME).mkdir()
    assert not maintenance.verify(tmp_path, said.append)
    assert said == ["lexical index: it is a folder; run `python -m tandem_gateway rebuild`"]
    (tmp_path / FILE_NAME / "of somebody").touch()
    with pytest.raises(StorageUnavailable, match="is in the way of the lexical index and cannot be removed"):
        maintenance.rebuild(tmp_path, said.append)
    (tmp_path / FILE_NAME / "of somebody").unlink()
    assert maintenance.rebuild(tmp_path, said.append) == len(TEXTS)
    assert maintenance.verify(tmp_path, said.append)


def test_verify_reads_the_texts_too(store: SqliteStore, tmp_path: Path):
    fill(store)
    said: list[str] = []
    maintenance.rebuild(tmp_path, said.append)
    for statement, expected in (
        ("UPDATE texts_1 SET text = x'00' WHERE row_id = 2", "a text in it is damaged"),
        ("DELETE FROM texts_1 WHERE row_id = 2", "1 of its rows have no text"),
    ):
        change(tmp_path / FILE_NAME, statement)
        assert not maintenance.verify(tmp_path, said.append)
        assert expected in said[-1]
