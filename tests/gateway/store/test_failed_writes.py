"""A failed write frees its batch at once: its error must not keep itself alive."""

import sqlite3
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.records.documents import NewDocuments
from tests.support.freed import assert_gone, failure_of, no_collector
from tests.support.stores import NOW, document, open_store, opened


class Mistake(Exception):
    """An unexpected error."""


def accepting(store: SqliteStore, batches: list[weakref.ref[object]]) -> Callable[[], Awaitable[object]]:
    async def call() -> object:
        documents = NewDocuments([document("a"), document("b")])
        batches.append(weakref.ref(documents))
        return await store.accept("job", "default", documents, NOW)

    return call


async def assert_a_failed_write_is_freed(store: SqliteStore) -> None:
    batches: list[weakref.ref[object]] = []
    with no_collector():
        errors = await failure_of(accepting(store, batches))
        await assert_gone([*batches, *errors])


async def test_a_write_is_refused(tmp_path: Path):
    with opened(tmp_path, Limits(collections=5, pending_documents=1, finished_jobs=10)) as store:
        await assert_a_failed_write_is_freed(store)


async def test_a_write_is_no_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def accept(connection: sqlite3.Connection, *rest: object, **options: object) -> None:
        connection.execute("INSERT INTO jobs SELECT 1 FROM nothing")

    with opened(tmp_path) as store:
        monkeypatch.setattr("tandem_gateway.adapters.sqlite.writes.accept", accept)
        await assert_a_failed_write_is_freed(store)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), Mistake()])
async def test_a_commit_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def next_number(connection: sqlite3.Connection, counter: str) -> int:
        raise type(error)(*error.args)

    with opened(tmp_path) as store:
        monkeypatch.setattr("tandem_gateway.adapters.sqlite.counters.next_number", next_number)
        await assert_a_failed_write_is_freed(store)


async def test_a_write_takes_too_long(tmp_path: Path):
    store = open_store(tmp_path, write_timeout=0.01)
    blocker = sqlite3.connect(tmp_path / "tandem.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    batches: list[weakref.ref[object]] = []
    with no_collector():
        errors = await failure_of(accepting(store, batches))
        blocker.execute("COMMIT")
        await assert_gone([*batches, *errors])
    blocker.close()
    store.close()


async def test_the_writer_frees_the_written_documents(tmp_path: Path):
    with opened(tmp_path) as store:
        batches: list[weakref.ref[object]] = []
        with no_collector():
            await accepting(store, batches)()
            await assert_gone(batches)
