"""Deleted text leaves the store's database and its write-ahead log."""

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
from tandem_gateway.adapters.sqlite.log_truncation import LogTruncation, Outcome
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.sqlite.writer import WriterEvents
from tests.gateway.store.erasing import (
    AT_ONCE,
    LOG,
    SECRET,
    files_with,
    gone,
    heard,
)
from tests.support.stores import NOW, document, dump, ingest, opened, pending_documents

NEVER = Delays(quiet=1e6, latest=1e6, retry=1e6)


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
    (waiting,) = await pending_documents(store, 9)
    await store.queue.fail(waiting.passage_id, "refused")
    assert await store.forget_failed(1e12) == 1


async def fail_and_delete(store: SqliteStore) -> None:
    await store.accept("job", "default", [document("gone", SECRET)], NOW)
    (waiting,) = await pending_documents(store, 9)
    await store.queue.fail(waiting.passage_id, "refused")
    assert not await store.delete("default", "gone")


async def fail_and_delete_collection(store: SqliteStore) -> None:
    await store.accept("job", "other", [document("gone", SECRET)], NOW)
    (waiting,) = await pending_documents(store, 9)
    await store.queue.fail(waiting.passage_id, "refused")
    assert await store.delete_collection("other")


async def fail_and_forget_job(store: SqliteStore) -> None:
    await store.accept("job", "default", [document("gone", SECRET)], NOW)
    (waiting,) = await pending_documents(store, 9)
    await store.queue.fail(waiting.passage_id, "refused")
    assert await store.forget_jobs(1e12) == 1


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
    fail_and_delete,
    fail_and_delete_collection,
    fail_and_forget_job,
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


async def test_the_default_delays_are_five_seconds_and_a_minute(tmp_path: Path):
    assert Delays() == Delays(quiet=5.0, latest=60.0, retry=1.0)


async def test_writes_that_delete_nothing_leave_the_log_alone(tmp_path: Path):
    outcomes: list[Outcome] = []
    with opened(tmp_path, delays=AT_ONCE, events=WriterEvents(log_truncated=outcomes.append)) as store:
        await ingest(store, [document("a"), document("b")])
        await store.accept("same", "default", [document("a")], NOW)
        assert not await store.delete("default", "absent")
        assert not await store.delete_collection("absent")
        await store.forget_jobs(2 * NOW)
        # This write runs after all work of the thread for earlier writes.
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


def markers(folder: Path) -> set[bytes]:
    return {found for path in folder.iterdir() for found in re.findall(rb"marker\d{4}", path.read_bytes())}


async def test_the_rewrite_of_the_operations_page_removes_the_text_of_moved_rows(tmp_path: Path):
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
