"""Deleting a large collection takes no longer than deleting a small one; its content goes step by step."""

import dataclasses
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import check, purge, writes
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.records.reembedding import SpaceModel
from tests.gateway.store.damage import FILES
from tests.support.stores import LIMITS, NOW, document, dump, ingest, opened

TABLES = ("documents", "passages", "vectors", "removals", "waiting")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "DOCUMENTS_AT_ONCE", 2)


async def fill(store: SqliteStore) -> None:
    """Five live documents, two of them deleted, and three pending, in ``books``; one document elsewhere."""
    await ingest(store, [document(f"b{number}") for number in range(5)], collection="books")
    await store.delete("books", "b0")
    await store.delete("books", "b1")
    await ingest(store, [document("kept")], job_id="elsewhere")
    await store.accept("waits", "books", [document(f"p{number}") for number in range(3)], NOW)


async def purged(store: SqliteStore) -> None:
    """Wait until the store holds nothing of a deleted collection: each write is followed by a step."""
    for _ in range(20):
        await store.forget_jobs(0.0)
        with closing(sqlite3.connect(store._path)) as connection:
            if not purge.is_due(connection):
                return
    raise AssertionError("the purge is not done after 20 writes")


async def test_the_collection_is_gone_at_once_and_its_content_soon(store: SqliteStore, tmp_path: Path):
    await fill(store)
    books = (await store.collections())[0]
    assert await store.delete_collection("books")
    assert [record.name for record in await store.collections()] == ["default"]
    assert await store.document("books", "b3") is None
    assert not await store.delete("books", "b3")
    assert not await store.delete_collection("books")
    feed = SqliteIndexFeed(tmp_path / FILE_NAME)
    assert [record.name for record in feed.collections()] == ["default"]
    assert feed.vectors(books.space_id, [3, 4, 5]) == {}
    feed.close()
    await purged(store)
    content = dump(tmp_path)
    assert [row[2] for row in content["documents"]] == ["kept"]
    assert {table: len(content[table]) for table in TABLES} == dict.fromkeys(TABLES, 1) | {"removals": 0, "waiting": 0}
    job = await store.job("waits")
    assert job is not None
    assert (job.processed, job.total, job.failed) == (3, 3, 0)
    assert job.finished_at is not None


async def test_nothing_stays_of_a_collection_that_was_being_re_embedded(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("kept")])
    before = {row[0] for row in dump(tmp_path)["counters"]}
    await ingest(store, [document("a")], job_id="of books", collection="books")
    await store.reembeddings.start("books", SpaceModel("another model", "e" * 32, 4))
    await store.delete_collection("books")
    await purged(store)
    assert {row[0] for row in dump(tmp_path)["counters"]} == before


async def test_a_step_removes_few_long_documents(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(purge, "DOCUMENTS_AT_ONCE", 100)
    monkeypatch.setattr(purge, "CHARACTERS_AT_ONCE", 1_000)
    sizes = [(10, 400), (11, 600), (12, 5_000), (13, 20), (14, 20)]
    await ingest(store, [document(f"b{number}", "x" * size) for number, size in sizes], collection="books")
    left: list[int] = []
    step = purge.step

    def counting(connection: sqlite3.Connection, now: float) -> None:
        step(connection, now)
        left.append(connection.execute("SELECT count(*) FROM documents").fetchone()[0])

    monkeypatch.setattr(purge, "step", counting)
    await store.delete_collection("books")
    await purged(store)
    assert left == [4, 3, 2, 0]


async def test_a_step_forgets_few_removals(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(purge, "REMOVALS_AT_ONCE", 4)
    await ingest(store, [document(f"b{number}") for number in range(10)], collection="books")
    for number in range(10):
        await store.delete("books", f"b{number}")
    left: list[int] = []
    step = purge.step

    def counting(connection: sqlite3.Connection, now: float) -> None:
        step(connection, now)
        left.append(connection.execute("SELECT count(*) FROM removals").fetchone()[0])

    monkeypatch.setattr(purge, "step", counting)
    await store.delete_collection("books")
    await purged(store)
    assert left == [6, 2, 0]


async def test_its_name_is_free_and_its_numbers_are_not(store: SqliteStore):
    await fill(store)
    (old, _) = await store.collections()
    await store.delete_collection("books")
    await ingest(store, [document("b3", "another")], job_id="again", collection="books")
    (new, _) = await store.collections()
    assert (new.name, new.live, new.pending) == ("books", 1, 0)
    assert new.collection_id != old.collection_id
    assert new.space_id != old.space_id
    await purged(store)
    assert (await store.document("books", "b3")).text == "another"  # type: ignore[union-attr]


async def test_it_does_not_count_for_the_limits(tmp_path: Path):
    with opened(tmp_path, LIMITS.__class__(2, 3, 100)) as store:
        await store.accept("one", "books", [document(f"p{number}") for number in range(3)], NOW)
        await store.delete_collection("books")
        await store.accept("two", "others", [document(f"p{number}") for number in range(3)], NOW)


async def test_a_kill_in_the_middle_goes_on_at_the_next_start(tmp_path: Path):
    (tmp_path / "data").mkdir()
    with opened(tmp_path / "data") as store:
        await fill(store)
    connection = connect(tmp_path / "data" / FILE_NAME, writable=True)
    connection.execute("BEGIN IMMEDIATE")
    (books,) = connection.execute("SELECT collection_id FROM collections WHERE name = 'books'").fetchone()
    purge.mark_removed(connection, books)
    purge.step(connection, NOW)
    connection.execute("COMMIT")
    assert check.find_damage(connection) == []  # each step leaves a sound store
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in FILES:
        if (tmp_path / "data" / name).exists():
            shutil.copyfile(tmp_path / "data" / name, killed / name)
    connection.close()
    with opened(killed) as store:
        await purged(store)
        assert [record.name for record in await store.collections()] == ["default"]
    assert [row[2] for row in dump(killed)["documents"]] == ["kept"]


async def test_a_step_that_fails_is_repeated_after_a_write_that_succeeds(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    await fill(store)
    steps: list[bool] = []
    step = purge.step

    def failing(connection: sqlite3.Connection, now: float) -> None:
        steps.append(len(steps) % 2 == 1)
        if not steps[-1]:
            raise StorageUnavailable("the disk is full")
        step(connection, now)

    with monkeypatch.context() as context:
        context.setattr(purge, "step", failing)
        await store.accept("three", "default", [document("other")], NOW)
        with pytest.raises(StorageUnavailable, match="the disk is full"):
            await store.delete_collection("books")
        await store.delete_collection("books")
        await purged(store)
    assert False in steps[2:]


async def steps_of_deletion(data_dir: Path, others: int) -> int:
    """Return how many hundred instructions SQLite takes to delete an empty collection, beside other documents."""
    with opened(data_dir, dataclasses.replace(LIMITS, pending_documents=10_000)) as store:
        await ingest(store, [document(f"d{number}") for number in range(others)])
        await store.accept("few", "books", [document("only")], NOW)
        await store.delete("books", "only")
    connection, _ = open_checked(data_dir)
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    connection.execute("BEGIN IMMEDIATE")
    connection.set_progress_handler(tick, 100)
    assert writes.delete_collection(connection, "books", NOW)
    connection.set_progress_handler(None, 0)
    connection.execute("COMMIT")
    assert not purge.is_due(connection)
    connection.close()
    return ticks


async def test_a_deletion_reads_no_rows_of_other_collections(tmp_path_factory: pytest.TempPathFactory):
    """The checks of references to the removed rows use indexes."""
    few, many = [await steps_of_deletion(tmp_path_factory.mktemp("data"), others) for others in (10, 1000)]
    assert many <= few + 2
