"""The store's files disappear while it is open: it does not acknowledge writes that no path can reach any more."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect, explain, translated
from tandem_gateway.errors import StorageUnavailable, for_log
from tests.support.stores import NOW, document, ingest, open_store, opened


@pytest.mark.parametrize("how", ["all", "database", "log", "moved", "replaced"])
async def test_a_write_to_removed_files_fails(tmp_path: Path, how: str):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    path = data_dir / FILE_NAME

    store = open_store(data_dir)
    try:
        await ingest(store, [document("a")])
        if how == "all":
            shutil.rmtree(data_dir)
        elif how == "database":
            path.unlink()
        elif how == "log":
            path.with_name(f"{FILE_NAME}-wal").unlink()
        elif how == "moved":
            path.rename(tmp_path / "elsewhere")
        else:
            shutil.copyfile(path, tmp_path / "copy")
            (tmp_path / "copy").rename(path)
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="removed or replaced") as caught:
                await store.accept("another", "default", [document("b")], NOW)
            assert str(data_dir) not in str(caught.value)
            assert str(data_dir) in for_log(caught.value)
        with pytest.raises(StorageUnavailable, match="removed or replaced"):
            await store.collections()
        assert store.write_failure is not None
    finally:
        store.close()


async def test_a_failed_write_is_reported_until_one_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(connection: sqlite3.Connection, counter: str) -> int:
        connection.execute("PRAGMA max_page_count=1")
        for number in range(100):  # the first tables take free pages
            connection.execute(f"CREATE TABLE more{number} (x)")
        raise AssertionError("there was room")

    with opened(tmp_path) as store:
        assert store.write_failure is None
        with monkeypatch.context() as context:
            context.setattr("tandem_gateway.adapters.sqlite.versions.next_number", full)
            with pytest.raises(StorageUnavailable, match="the disk is full") as caught:
                await store.accept("one", "default", [document("a")], NOW)
        assert store.write_failure == str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        assert "SQLITE_FULL" not in str(caught.value)
        assert f"{tmp_path / FILE_NAME}: database or disk is full (SQLITE_FULL)" == for_log(caught.value)
        await asyncio.wrap_future(store._writer.submit(lambda c: c.execute("PRAGMA max_page_count=100000").fetchone()))
        await store.accept("two", "default", [document("a")], NOW)
        assert store.write_failure is None


def test_messages_to_clients_name_no_file_and_quote_no_library():
    for error in (sqlite3.OperationalError("near x"), sqlite3.DatabaseError("malformed")):
        found = explain(error, Path("/secret/place"))
        assert "/secret" not in str(found)
        assert str(error) not in str(found)
        assert str(error) in for_log(found)
        assert "/secret/place" in for_log(found)


def files_with(folder: Path, word: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file() and word in path.read_bytes()]


async def test_deleted_text_is_in_no_file(tmp_path: Path):
    secret = "a word that nobody else has: zyzzyva"

    with opened(tmp_path) as store:
        filler = [document(f"kept {number}", "kept " * 300) for number in range(30)]
        await ingest(store, [*filler, document("gone", secret), document("also", secret * 500)])
        assert await store.delete("default", "gone")
        assert await store.delete("default", "also")
    assert files_with(tmp_path, b"zyzzyva") == []
    connection = connect(tmp_path / FILE_NAME, writable=True)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    connection.close()


def test_an_error_without_memory_says_so_and_names_no_path():
    with (
        pytest.raises(StorageUnavailable, match="there is no memory left") as raised,
        translated(Path("/secret/place")),
    ):
        raise MemoryError
    assert "/secret" not in str(raised.value)
    assert "/secret" in for_log(raised.value)
