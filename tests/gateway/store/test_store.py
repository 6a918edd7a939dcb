"""SQLite's store: the writer's commits, numbers, and reopening.

The behaviour that all stores share is tested in ``tests/gateway/ports``.
"""

import asyncio
import re
import threading
from pathlib import Path

import pytest

import tandem_gateway.adapters.sqlite
from tandem_gateway.adapters.sqlite import retention
from tandem_gateway.adapters.sqlite.check import find_damage
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.sqlite.writer import WriterEvents
from tandem_gateway.errors import DeadlineExceeded, Overloaded, StorageUnavailable
from tests.support.fakes import WAIT_SECONDS, eventually
from tests.support.stores import NOW, claimed, document, dump, embed_pending, ingest, opened, pending_documents


def sound(data_dir: Path) -> bool:
    connection = connect(data_dir / FILE_NAME, writable=False)
    try:
        return find_damage(connection) == []
    finally:
        connection.close()


async def queued(store: SqliteStore, count: int) -> None:
    """Return when this number of writes waits in the writer's queue."""
    await eventually(lambda: asyncio.sleep(0, store._writer._queue.qsize()), lambda size: size >= count)


async def test_a_failed_write_does_not_affect_its_neighbours(store: SqliteStore, tmp_path: Path):
    writer = store._writer
    gate, entered = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        entered.set()
        assert gate.wait(WAIT_SECONDS)

    held = writer.submit(hold)
    assert entered.wait(WAIT_SECONDS)
    # All of these are queued, and share the next commit.
    good1 = asyncio.create_task(store.accept("good1", "default", [document("a")], NOW))
    bad = asyncio.create_task(store.accept("good1", "default", [document("b")], NOW))  # a duplicate job id
    bug = writer.submit(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
    good2 = asyncio.create_task(store.accept("good2", "default", [document("c")], NOW))
    await queued(store, 4)
    gate.set()
    assert held.result(WAIT_SECONDS) is None
    outcomes = await asyncio.gather(good1, bad, good2, return_exceptions=True)
    assert isinstance(outcomes[1], Exception)
    assert bug.exception(WAIT_SECONDS) is not None
    batch = await claimed(store, 10)
    assert [waiting.text for waiting in batch.passages] == ["text of a", "text of c"]
    assert sound(tmp_path)


async def test_writes_that_wait_share_one_commit(tmp_path: Path):
    commits: list[int] = []

    with opened(tmp_path, events=WriterEvents(lambda seconds, writes: commits.append(writes))) as store:
        gate, entered = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            entered.set()
            assert gate.wait(WAIT_SECONDS)

        store._writer.submit(hold)
        assert entered.wait(WAIT_SECONDS)
        accepted = [
            asyncio.create_task(store.accept(f"job{number}", "default", [document(f"d{number}")], NOW))
            for number in range(10)
        ]
        await queued(store, 10)
        gate.set()
        await asyncio.gather(*accepted)
    assert commits == [1, 10]


async def test_over_the_bound_of_waiting_writes_a_write_is_refused(tmp_path: Path):
    with opened(tmp_path, max_queued_writes=2) as store:
        gate, entered = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            entered.set()
            assert gate.wait(WAIT_SECONDS)

        store._writer.submit(hold)
        assert entered.wait(WAIT_SECONDS)
        waiting = [store._writer.submit(lambda _: 1) for _ in range(2)]
        with pytest.raises(Overloaded, match="TANDEM_MAX_QUEUED_WRITES"):
            await store.accept("job", "default", [document("a")], NOW)
        gate.set()
        assert [future.result(WAIT_SECONDS) for future in waiting] == [1, 1]
        assert (await store.accept("job", "default", [document("a")], NOW)).total == 1


async def test_a_write_that_takes_too_long_says_that_it_may_still_take_effect(tmp_path: Path):
    with opened(tmp_path, write_timeout=0.02) as store:
        gate = threading.Event()
        store._writer.submit(lambda _: gate.wait(WAIT_SECONDS))
        with pytest.raises(DeadlineExceeded, match="may still take effect"):
            await store.accept("late", "default", [document("a")], NOW)
        gate.set()
    with opened(tmp_path) as store:
        assert (await store.job("late")).total == 1  # type: ignore[union-attr]


async def test_a_closed_store_finishes_queued_writes_and_refuses_new_ones(tmp_path: Path):
    with opened(tmp_path) as store:
        gate = threading.Event()
        store._writer.submit(lambda _: gate.wait(WAIT_SECONDS))
        accepting = asyncio.create_task(store.accept("job", "default", [document("a")], NOW))
        await queued(store, 1)
        closing = asyncio.create_task(asyncio.to_thread(store.close))
        gate.set()
        assert (await accepting).total == 1
        await closing
        with pytest.raises(StorageUnavailable, match="closed"):
            await store.accept("job2", "default", [document("b")], NOW)


async def test_a_store_reopened_has_everything_and_goes_on_counting(tmp_path: Path):
    with opened(tmp_path) as store:
        await ingest(store, [document(f"d{number}") for number in range(5)])
        await store.delete("default", "d1")
        await store.accept("job2", "default", [document("d2", "newer"), document("e")], NOW)
    before = dump(tmp_path)

    with opened(tmp_path) as store:
        assert dump(tmp_path) == before
        assert [waiting.text for waiting in await pending_documents(store, 9)] == [
            "newer",
            "text of e",
        ]
        await embed_pending(store)
        assert (await store.job("job2")).finished_at is not None  # type: ignore[union-attr]

    counters = {row[0]: row[1] for row in dump(tmp_path)["counters"]}
    assert counters["document"] == 7
    # Five became live, one was deleted, one replaced (two numbers), and one more became live.
    assert counters["change"] == 5 + 1 + 2 + 1
    assert sound(tmp_path)


async def test_row_and_change_numbers_are_never_used_again(store: SqliteStore, tmp_path: Path):
    seen: set[int] = set()
    for number in range(5):
        await ingest(store, [document("a", f"version {number}")], job_id=f"job{number}")
        rows = {row[0] for row in dump(tmp_path)["documents"]}
        assert not rows & seen
        seen |= rows
        await store.delete("default", "a")
    changes = [row[1] for row in dump(tmp_path)["removals"]]
    assert len(set(changes)) == len(changes) == 5


async def test_forgetting_removals_drops_those_up_to_the_number_given(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a"), document("b"), document("c")])
    for doc_id in "abc":
        await store.delete("default", doc_id)
    (record,) = await store.collections()
    numbers = sorted(row[1] for row in dump(tmp_path)["removals"])
    assert await store.forget_removals(record.space_id, numbers[1]) == 2
    assert [row[1] for row in dump(tmp_path)["removals"]] == numbers[2:]
    assert await store.forget_removals(record.space_id, numbers[0]) == 0
    assert sound(tmp_path)


async def test_removals_stay_until_every_recorded_follower_has_passed_them(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a"), document("b"), document("c")])
    (record,) = await store.collections()
    unknown = {record.collection_id + 1: 5}
    assert store.record_positions("keywords", {record.collection_id: 3, **unknown}).result(WAIT_SECONDS) == 0
    for doc_id in "abc":
        await store.delete("default", doc_id)
    assert await store.forget_removals(record.space_id, 6) == 0
    assert store.record_positions("keywords", {record.collection_id: 5}).result(WAIT_SECONDS) == 2
    assert store.record_positions("keywords", {record.collection_id: 4}).result(WAIT_SECONDS) == 0
    assert [row[1] for row in dump(tmp_path)["removals"]] == [6]
    assert sound(tmp_path)


async def test_a_collection_keeps_a_limited_number_of_removals(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "REMOVALS_KEPT", 2)
    await ingest(store, [document("a"), document("b"), document("c")])
    (record,) = await store.collections()
    for doc_id in "abc":
        await store.delete("default", doc_id)
    assert await store.forget_removals(record.space_id, 0) == 1
    assert [row[1] for row in dump(tmp_path)["removals"]] == [5, 6]
    assert [row[4] for row in dump(tmp_path)["collections"]] == [4]
    assert sound(tmp_path)


def test_a_missing_folder_is_unavailable(tmp_path: Path):
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        open_checked(tmp_path / "nowhere")


def test_no_statement_has_numbered_parameters():
    # From Python 3.14 on, sqlite3 refuses them with a sequence of values; Python 3.12 and 3.13 warn.
    files = sorted(Path(tandem_gateway.adapters.sqlite.__file__).parent.rglob("*.py"))
    assert len(files) > 10
    assert [file.name for file in files if re.search(r"[(,= ]\?\d", file.read_text())] == []
