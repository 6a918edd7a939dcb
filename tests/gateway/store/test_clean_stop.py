"""A start after a clean stop does not read every row; any other start does."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import check, clean_stop
from tandem_gateway.adapters.sqlite.commit_watermark import FILE_NAME as MARK_NAME
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.errors import StorageCorrupt
from tests.support.stores import document, dump, ingest, open_store


async def stopped(data_dir: Path) -> Path:
    store = open_store(data_dir)
    await ingest(store, [document("a"), document("b")])
    store.close()
    store.record_clean_stop()
    return data_dir


def reads_every_row(data_dir: Path, monkeypatch: pytest.MonkeyPatch, *, trust: bool = True) -> bool:
    """Open the store, and return whether that looked for damage in the rows."""
    looked: list[bool] = []
    find_damage = check.find_damage
    with monkeypatch.context() as context:
        context.setattr(check, "find_damage", lambda connection: looked.append(True) or find_damage(connection))
        connection, _ = open_checked(data_dir, trust_clean_stop=trust)
        connection.close()
    return bool(looked)


async def test_only_the_first_start_after_a_clean_stop_skips_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    await stopped(tmp_path)
    content = dump(tmp_path)
    assert (tmp_path / clean_stop.FILE_NAME).stat().st_mode & 0o077 == 0
    assert not reads_every_row(tmp_path, monkeypatch)
    # The start removed the record, and nobody recorded another clean stop: as after a kill.
    assert not (tmp_path / clean_stop.FILE_NAME).exists()
    assert reads_every_row(tmp_path, monkeypatch)
    assert dump(tmp_path) == content


async def test_who_does_not_trust_the_record_reads_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    await stopped(tmp_path)
    assert reads_every_row(tmp_path, monkeypatch, trust=False)


def rewritten(path: Path) -> None:
    path.write_bytes(path.read_bytes())


def with_its_old_time(path: Path) -> None:
    found = path.stat()
    rewritten(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def restored(path: Path) -> None:
    copied = path.with_name("copy")
    shutil.copy2(path, copied)
    copied.replace(path)


@pytest.mark.parametrize("change", [rewritten, with_its_old_time, restored])
async def test_a_file_that_was_touched_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change):
    await stopped(tmp_path)
    change(tmp_path / FILE_NAME)
    assert reads_every_row(tmp_path, monkeypatch)


@pytest.mark.parametrize("record", [b"", b"{}", b"\xff", b'{"commit": "1"}'])
async def test_a_damaged_record_is_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: bytes):
    await stopped(tmp_path)
    (tmp_path / clean_stop.FILE_NAME).write_bytes(record)
    assert reads_every_row(tmp_path, monkeypatch)


async def test_a_flipped_bit_after_the_stop_is_refused(tmp_path: Path):
    await stopped(tmp_path)
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[content.index(b"text of a")] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageCorrupt, match="documents: 1 rows"):
        open_checked(tmp_path, trust_clean_stop=True)


async def test_a_record_of_another_commit_is_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    await stopped(tmp_path)
    (tmp_path / MARK_NAME).unlink()
    assert reads_every_row(tmp_path, monkeypatch)


async def test_nothing_is_recorded_while_a_log_is_in_use(tmp_path: Path):
    store = open_store(tmp_path)
    await ingest(store, [document("a")])
    store.record_clean_stop()  # not closed: the log has commits that the database lacks
    assert not (tmp_path / clean_stop.FILE_NAME).exists()
    store.close()


@pytest.mark.parametrize("seen_by", ["scrub", "queue"])
async def test_nothing_is_recorded_of_a_store_with_known_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen_by: str
):
    store = open_store(tmp_path)
    await store.accept("job", "default", [document("a"), document("b")], 1.0)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE documents SET text = 'another' WHERE document_id = 2")
    if seen_by == "scrub":
        assert (await store.scrub(100)).damaged == [("documents", 2)]
    else:
        claims = [await store.queue.claim("worker", 10, 60.0) for _ in range(2)]
        assert [batch.passages[0].damaged for batch in claims if batch] == [False, True]
    store.close()
    store.record_clean_stop()
    with pytest.raises(StorageCorrupt, match="documents: 1 rows"):
        reads_every_row(tmp_path, monkeypatch)
