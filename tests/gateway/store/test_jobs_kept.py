"""Jobs: the newest finished ones are kept, up to a limit; those of a deleted collection are finished at once."""

import asyncio
import re
import sqlite3
from pathlib import Path

import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite import retention, writes
from tandem_gateway.adapters.sqlite import store as store_module
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tests.support.stores import LIMITS, NOW, document, dump, ingest, opened, pending_documents

FEW = Limits(LIMITS.collections, LIMITS.pending_documents, finished_jobs=3)


async def unchanged(store: SqliteStore, name: str, at: float) -> None:
    assert (await store.accept(name, "default", [document("a")], at)).finished_at == at


def jobs(data_dir: Path) -> list[str]:
    return sorted(row[0] for row in dump(data_dir)["jobs"])


async def test_an_unchanged_document_over_and_over_leaves_a_bounded_number_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "_JOBS_BETWEEN_CLEANUPS", 4)

    with opened(tmp_path, FEW) as store:
        await ingest(store, [document("a")], "first")
        await store.accept("waits", "other", [document("b")], NOW)
        for number in range(100, 150):
            await unchanged(store, str(number), 2 * NOW + number)
            assert len(jobs(tmp_path)) <= 3 + 4 + 1
        assert await store.job("149") is not None
        assert await store.job("100") is None
        assert await store.job("first") is None
        await store.forget_jobs(0.0)
    assert jobs(tmp_path) == ["147", "148", "149", "waits"]


async def test_many_are_dropped_in_several_writes_with_their_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "JOBS_AT_ONCE", 2)

    with opened(tmp_path, FEW) as store:
        await ingest(store, [document("a")], "0")
        await store.accept("1", "default", [document("b")], NOW)
        (waiting,) = await pending_documents(store, 9)
        await store.queue.fail(waiting.passage_id, "refused")
        for number in range(2, 8):
            await unchanged(store, str(number), 2 * NOW + number)
        commits = store.commits
        assert await store.forget_jobs(0.0) == 5
        assert store.commits == commits + 2 * 3  # a commit counts at its begin and its end
        assert await store.forget_jobs(2 * NOW + 7) == 2
        assert await store.forget_jobs(3 * NOW) == 1
    assert jobs(tmp_path) == []
    assert dump(tmp_path)["failures"] == []


async def test_jobs_with_many_documents_are_dropped_in_several_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "DOCUMENTS_AT_ONCE", 5)

    with opened(tmp_path, FEW) as store:
        for name, count in (("0", 9), ("1", 2), ("2", 3), ("3", 1)):
            await ingest(store, [document(f"{name}-{number}") for number in range(count)], name)
        commits = store.commits
        assert await store.forget_jobs(1e12) == 4
        assert store.commits == commits + 2 * 3  # "0" alone; "1" and "2"; "3"
    assert jobs(tmp_path) == []
    assert dump(tmp_path)["job_lists"] == []


async def test_lists_are_dropped_in_several_writes_with_their_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "DOCUMENTS_AT_ONCE", 5)
    monkeypatch.setattr(retention, "LISTED_BYTES", 0)

    with opened(tmp_path, FEW) as store:
        for name, count in (("0", 9), ("1", 2), ("2", 3)):
            await store.accept(name, "default", [document(f"{name}-{number}") for number in range(count)], NOW)
        for waiting in await pending_documents(store):
            await store.queue.fail(waiting.passage_id, "refused")
        assert len(dump(tmp_path)["job_outcomes"]) == 14
        commits = store.commits
        assert await store.forget_jobs(0.0) == 0
        assert store.commits == commits + 2 * 2
    assert jobs(tmp_path) == ["0", "1", "2"]
    assert [dump(tmp_path)[table] for table in ("job_lists", "job_outcomes")] == [[], []]


async def test_large_ingests_are_cleaned_up_after_as_soon_as_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "_JOBS_BETWEEN_CLEANUPS", 4)
    monkeypatch.setattr(store_module, "_DOCUMENTS_LIKE_A_JOB", 2)
    monkeypatch.setattr(retention, "LISTED_BYTES", 0)

    with opened(tmp_path) as store:
        for number in range(3):
            await ingest(store, [document(f"{number}-{place}") for place in range(6)], str(number))
        # The cleanup is a part of the write that accepts the next job.
        assert [await store.job_documents(str(number), 0, 10, None) is None for number in range(3)] == [
            True,
            True,
            False,
        ]


@pytest.mark.parametrize("count", [3, 60])
async def test_to_delete_a_collection_takes_as_many_statements_however_many_documents_wait(tmp_path: Path, count: int):
    with opened(tmp_path) as store:
        await ingest(store, [document("live")], "done", "gone")
        await store.accept("stays", "default", [document("a")], NOW)
        await store.accept("waits", "gone", [document(str(number)) for number in range(count)], NOW)
        await store.accept("again", "gone", [document("0"), document("0"), document("1")], NOW)
        statements: list[str] = []

        def delete(connection: sqlite3.Connection) -> bool:
            connection.set_trace_callback(statements.append)
            deleted = writes.delete_collection(connection, "gone", NOW + 5)
            connection.set_trace_callback(None)
            return deleted

        assert await asyncio.wrap_future(store._writer.submit(delete))
        of_jobs = [each for each in statements if re.search(r"\b(waiting|jobs)\b", each)]
        assert len(of_jobs) == 7
        for name, total in (("waits", count), ("again", 3)):
            job = await store.job(name)
            assert job is not None
            assert (job.processed, job.failed, job.finished_at) == (total, 0, NOW + 5)
        job = await store.job("stays")
        assert job is not None
        assert (job.processed, job.finished_at) == (0, None)
    with opened(tmp_path):  # reopening checks all of it
        pass
