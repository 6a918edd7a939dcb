"""The scrub reads every row with a client's data, page by page, and names the damaged ones."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.records.scrubbing import ScrubPage
from tandem_gateway.use_cases.scrubbing import Scrubber, ScrubEvents, ScrubPace
from tests.support.stores import NOW, document, ingest, pending_documents


async def whole_pass(store: SqliteStore, limit: int) -> list[ScrubPage]:
    pages = [await store.scrub(limit)]
    while not pages[-1].complete:
        pages.append(await store.scrub(limit))
    return pages


def damage(tmp_path: Path, statement: str) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(statement)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_a_pass_reads_every_document_and_vector_once(store: SqliteStore, limit: int):
    await ingest(store, [document(f"d{number}") for number in range(5)])
    await store.accept("waits", "default", [document("late")], 1.0)
    for _ in range(2):  # a second pass begins again
        pages = await whole_pass(store, limit)
        assert sum(page.rows for page in pages) == 6 + 5
        assert all(page.rows <= limit and page.damaged == [] for page in pages)


async def test_an_empty_store_is_complete_at_once(store: SqliteStore):
    assert [page.rows for page in await whole_pass(store, 10)] == [0, 0, 0]


async def test_damaged_rows_are_named(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(5)])
    damage(tmp_path, "UPDATE documents SET text = 'another' WHERE document_id = 2")
    damage(tmp_path, "UPDATE vectors SET vector = zeroblob(length(vector)) WHERE passage_id = 4")
    found = [each for page in await whole_pass(store, 3) for each in page.damaged]
    assert found == [("documents", 2), ("vectors", 4)]


async def test_a_damaged_document_that_failed_is_named(store: SqliteStore, tmp_path: Path):
    await store.accept("job", "default", [document("a")], NOW)
    (waiting,) = await pending_documents(store)
    await store.queue.fail(waiting.passage_id, "refused")
    damage(tmp_path, "UPDATE failed_documents SET text = 'another'")
    found = [each for page in await whole_pass(store, 3) for each in page.damaged]
    assert found == [("failed_documents", 1)]
    with pytest.raises(StorageCorrupt, match="failed_documents: row 1"):
        await store.retry("job", NOW)
    job = await store.job("job")
    assert job is not None
    assert job.failed == 1


async def test_the_task_counts_rows_and_reports_each_damaged_row_once(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    await ingest(store, [document("a"), document("b")])
    damage(tmp_path, "UPDATE documents SET text = 'another' WHERE document_id = 2")
    rows: list[int] = []
    passes = 0
    twice = asyncio.Event()

    def completed() -> None:
        nonlocal passes
        passes += 1
        if passes == 2:
            twice.set()

    scrubber = Scrubber(
        store,
        seconds=1e-6,
        pace=ScrubPace(first=0.0, rows=3, pause=0.0),
        events=ScrubEvents(scrubbed=rows.append, completed=completed),
    )
    task = asyncio.create_task(scrubber.run())
    async with asyncio.timeout(30):
        await twice.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sum(rows) >= 8
    assert scrubber.damaged == 1
    said = [record for record in caplog.records if record.message == "a row of the store is not what was written"]
    assert [(record.table, record.row) for record in said] == [("documents", 2)]  # type: ignore[attr-defined]


async def test_zero_turns_the_task_off(store: SqliteStore):
    await asyncio.wait_for(Scrubber(store, seconds=0).run(), 10)
