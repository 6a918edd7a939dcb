"""Deleted text leaves the files: the database, its write-ahead log, and the keyword index."""

import asyncio
import logging
import random
import re
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import log_truncation
from tandem_gateway.adapters.sqlite.checkpoint_schedule import Delays
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.lexical import cache as cache_module
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME as KEYWORD_FILE
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.sqlite.log_truncation import LogTruncation, Outcome
from tandem_gateway.adapters.sqlite.store import SqliteStore, open_checked
from tandem_gateway.adapters.sqlite.writer import WriterEvents
from tests.support.fakes import WAIT_SECONDS, answer_limits, eventually
from tests.support.stores import NOW, document, dump, ingest, opened

KEYWORD_LOG = f"{KEYWORD_FILE}-wal"
LOG = f"{FILE_NAME}-wal"
AT_ONCE = Delays(quiet=0.0, latest=0.0, retry=0.01)
NEVER = Delays(quiet=1e6, latest=1e6, retry=1e6)
SECRET = "a word that nobody else has: zyzzyva"


def files_with(folder: Path, word: bytes = b"zyzzyva") -> list[str]:
    return [path.name for path in sorted(folder.iterdir()) if path.is_file() and word in path.read_bytes()]


async def heard(outcomes: list[Outcome], outcome: Outcome, times: int = 1) -> None:
    """Wait until this was the outcome of some attempts."""

    async def count() -> int:
        return outcomes.count(outcome)

    await eventually(count, lambda seen: seen >= times)


def size_of(path: Path) -> int:
    return path.stat().st_size


async def emptied(log: Path) -> None:
    """Wait until the log is empty."""

    async def size() -> int:
        return size_of(log)

    await eventually(size, lambda found: found == 0)


async def gone(folder: Path) -> None:
    """Wait until the store's log is empty, then check that no file has the word."""
    await emptied(folder / LOG)
    assert files_with(folder) == []


async def delete(store: SqliteStore) -> None:
    await ingest(store, [document("kept"), document("gone", SECRET)])
    assert await store.delete("default", "gone")


async def delete_pending(store: SqliteStore) -> None:
    await store.accept("job", "default", [document("gone", SECRET)], NOW)
    assert await store.delete("default", "gone")


async def delete_long(store: SqliteStore) -> None:
    await ingest(store, [document("gone", SECRET * 500)])
    assert await store.delete("default", "gone")


async def delete_collection(store: SqliteStore) -> None:
    await ingest(store, [document("gone", SECRET)], collection="other")
    await store.accept("waits", "other", [document("waits", SECRET)], NOW)
    assert await store.delete_collection("other")


async def fail(store: SqliteStore) -> None:
    await store.accept("job", "default", [document("gone", SECRET)], NOW)
    (waiting,) = (await store.pending(after=0, limit=9, without=())).documents
    await store.fail(waiting.row_id, "refused")


async def replace_pending(store: SqliteStore) -> None:
    await store.accept("job", "default", [document("gone", SECRET)], NOW)
    await store.accept("later", "default", [document("gone", "newer")], NOW)


async def replace_metadata(store: SqliteStore) -> None:
    await ingest(store, [document("gone", "the same text", '{"k": "zyzzyva"}')])
    await store.accept("later", "default", [document("gone", "the same text", '{"k": "newer"}')], NOW)


async def replace_live(store: SqliteStore) -> None:
    await ingest(store, [document("gone", SECRET)])
    await ingest(store, [document("gone", "newer")], "later")


DELETIONS = [
    delete,
    delete_pending,
    delete_long,
    delete_collection,
    fail,
    replace_pending,
    replace_metadata,
    replace_live,
]


@pytest.mark.parametrize("deletion", DELETIONS, ids=lambda deletion: deletion.__name__)
async def test_each_way_of_deleting_takes_the_text_out_of_the_files(
    tmp_path: Path, deletion: Callable[[SqliteStore], Awaitable[None]]
):
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE, events=WriterEvents(log_truncated=outcomes.append)) as store:
        await deletion(store)
        await gone(tmp_path)
        await heard(outcomes, "done")


async def test_a_deletion_waits_for_its_delay(tmp_path: Path):
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=NEVER, events=WriterEvents(log_truncated=outcomes.append)) as store:
        await delete(store)
        await store.accept("later", "default", [document("another")], NOW)
        assert outcomes == []
        assert LOG in files_with(tmp_path)


async def test_the_delays_are_five_seconds_and_a_minute_unless_told_otherwise(tmp_path: Path):
    assert Delays() == Delays(quiet=5.0, latest=60.0, retry=1.0)


async def test_writes_that_delete_nothing_leave_the_log_alone(tmp_path: Path):
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE, events=WriterEvents(log_truncated=outcomes.append)) as store:
        await ingest(store, [document("a"), document("b")])
        await store.accept("same", "default", [document("a")], NOW)
        assert not await store.delete("default", "absent")
        assert not await store.delete_collection("absent")
        await store.forget_jobs(2 * NOW)
        # A write comes after everything that the thread did for the writes before it.
        await store.accept("last", "default", [document("c")], NOW)
        assert outcomes == []
        assert (tmp_path / LOG).stat().st_size > 0


async def test_a_reader_delays_the_checkpoint_and_is_not_waited_for(tmp_path: Path):
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE, events=WriterEvents(log_truncated=outcomes.append)) as store:
        await ingest(store, [document("gone", SECRET)])
        reader = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT text FROM documents").fetchall() == [(SECRET,)]
        await store.delete("default", "gone")
        await heard(outcomes, "busy", times=3)
        assert set(outcomes) == {"busy"}
        await store.accept("later", "default", [document("another")], NOW)
        assert reader.execute("SELECT text FROM documents").fetchall() == [(SECRET,)]
        assert files_with(tmp_path) != []

        reader.execute("COMMIT")
        reader.close()
        await gone(tmp_path)
        await heard(outcomes, "done")


async def test_the_writer_still_waits_for_other_locks_afterwards(tmp_path: Path):
    with opened(tmp_path, delays=AT_ONCE) as store:
        await delete(store)
        await gone(tmp_path)
        timeout = store._writer.submit(lambda connection: connection.execute("PRAGMA busy_timeout").fetchone())
        assert await asyncio.wrap_future(timeout) == (10_000,)


async def test_text_that_a_killed_gateway_left_in_the_log_goes_after_the_next_start(tmp_path: Path):
    data, left = tmp_path / "data", tmp_path / "left"
    data.mkdir()
    with opened(data, delays=NEVER) as store:
        await delete(store)
        shutil.copytree(data, left)
    assert LOG in files_with(left)
    with opened(left, delays=AT_ONCE):
        await gone(left)


async def test_a_start_with_an_empty_log_runs_no_checkpoint(tmp_path: Path):
    with opened(tmp_path) as store:
        await ingest(store, [document("a")])
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE, events=WriterEvents(log_truncated=outcomes.append)) as store:
        await store.accept("later", "default", [document("b")], NOW)
        assert outcomes == []


async def test_a_failed_checkpoint_is_logged_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    real = log_truncation.truncate
    answers = [sqlite3.OperationalError("disk I/O error"), sqlite3.OperationalError("disk I/O error")]

    def truncate(connection: sqlite3.Connection) -> bool:
        if answers:
            raise answers.pop()
        return real(connection)

    monkeypatch.setattr(log_truncation, "truncate", truncate)
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE, events=WriterEvents(log_truncated=outcomes.append)) as store:
        await delete(store)
        await gone(tmp_path)
    assert outcomes == ["failed", "failed", "done"]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == ["deleted text is still in a log"]


def test_an_attempt_before_its_time_does_nothing(tmp_path: Path):
    path = tmp_path / "some.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    outcomes: list[Outcome] = []
    truncation = LogTruncation(connection, path, NEVER, outcomes.append)
    assert truncation.seconds_left() is None
    connection.execute("CREATE TABLE some (x)")
    truncation.run_if_due()
    truncation.deleted()
    truncation.run_if_due()
    assert outcomes == []
    left = truncation.seconds_left()
    assert left is not None
    assert 0 < left <= NEVER.quiet
    connection.close()


def finish(follower: LexicalFollower) -> None:
    while follower.step():
        pass


async def test_deleted_text_is_in_no_file_of_the_data_directory(tmp_path: Path):
    with opened(tmp_path, delays=AT_ONCE) as store:
        follower = LexicalFollower(tmp_path)
        await ingest(store, [document(f"kept {number}", f"ordinary {number}") for number in range(5)])
        # zlib shortens nothing of the first, so that it would be seen in the index's compressed text too.
        await ingest(store, [document("gone", "zyzzyva"), document("long", SECRET * 100)], "later")
        finish(follower)
        assert len(files_with(tmp_path)) >= 2
        await store.delete("default", "gone")
        await store.delete("default", "long")
        finish(follower)
        assert (tmp_path / KEYWORD_LOG).stat().st_size == 0
        await gone(tmp_path)
        follower.close()


async def test_the_keyword_index_does_not_wait_for_a_reader_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_module, "_DELAYS", AT_ONCE)
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE) as store:
        await ingest(store, [document("gone", SECRET)])
        lexical = LexicalThread(tmp_path, max_queued=4, limits=answer_limits(), on_truncation=outcomes.append)
        lexical.start().result(WAIT_SECONDS)
        assert len(await lexical.search("default", "zyzzyva", 1, timeout=WAIT_SECONDS)) == 1
        await heard(outcomes, "done")  # the new file's first log
        outcomes.clear()
        reader = sqlite3.connect(tmp_path / KEYWORD_FILE, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT documents FROM collections").fetchall() == [(1,)]
        await store.delete("default", "gone")
        lexical.notify()
        await heard(outcomes, "busy")
        # The thread is not waiting for the reader: it answers.
        assert await lexical.search("default", "zyzzyva", 1, timeout=WAIT_SECONDS) == []
        await emptied(tmp_path / LOG)
        assert files_with(tmp_path) != []

        reader.execute("COMMIT")
        reader.close()
        await heard(outcomes, "done")
        await gone(tmp_path)
        await asyncio.to_thread(lexical.close)


async def test_a_reader_costs_the_keyword_index_no_more_than_an_attempt_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_module, "_DELAYS", Delays(quiet=0.0, latest=0.0, retry=1e6))
    outcomes: list[Outcome] = []
    with opened(tmp_path) as store:
        await ingest(store, [document("gone", SECRET)])
        follower = LexicalFollower(tmp_path, outcomes.append)
        finish(follower)
        assert follower.idle_seconds is None
        outcomes.clear()
        reader = sqlite3.connect(tmp_path / KEYWORD_FILE, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT documents FROM collections").fetchall()
        await store.delete_collection("default")
        finish(follower)
        finish(follower)
        assert outcomes == ["busy"]
        assert follower.idle_seconds is not None
        assert follower.idle_seconds > 0
        reader.close()
        follower.close()


async def test_what_a_killed_process_left_in_the_keyword_indexs_log_goes_after_the_next_start(tmp_path: Path):
    data, left = tmp_path / "data", tmp_path / "left"
    data.mkdir()
    with opened(data) as store:
        follower = LexicalFollower(data)
        await ingest(store, [document("kept")])
        finish(follower)
        shutil.copytree(data, left)
        follower.close()
    assert (left / KEYWORD_LOG).stat().st_size > 0
    follower = LexicalFollower(left)
    finish(follower)
    assert (left / KEYWORD_LOG).stat().st_size == 0
    follower.close()


def markers(folder: Path) -> set[bytes]:
    return {found for path in folder.iterdir() for found in re.findall(rb"marker\d{4}", path.read_bytes())}


async def test_the_rewrite_of_the_operations_page_removes_what_moved_rows_left(tmp_path: Path):
    chance = random.Random(7)  # SQLite 3.40 leaves four copies
    texts: dict[str, str] = {}
    with opened(tmp_path) as store:
        for version in range(20):
            for number in chance.sample(range(100), 30):
                texts[f"d{number}"] = f"marker{version:02d}{number:02d} " + "x" * chance.choice([0, 40, 200, 1500])
            await ingest(store, [document(*item) for item in texts.items()], f"job{version}")
        kept = dump(tmp_path)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("VACUUM")
    connection.close()
    connection, notices = open_checked(tmp_path)
    connection.close()
    assert notices == []
    assert dump(tmp_path) == kept
    assert markers(tmp_path) == {text[:10].encode() for text in texts.values()}
