"""A data directory of an older release opens and keeps its data, even if a kill interrupts the upgrade."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import check, schema
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect
from tandem_gateway.adapters.sqlite.store import open_checked
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.notices import RoutineNotice
from tests.support.stores import document, embed_pending, opened

# From the release before schema version 2: three live documents, one of them deleted; two pending, one failed.
OLDER = Path(__file__).parent / "data" / "schema-1"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLDER, tmp_path / "data"))


def version(data_dir: Path) -> int:
    connection = sqlite3.connect(data_dir / FILE_NAME)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        return int(found)
    finally:
        connection.close()


def test_an_older_store_is_upgraded_and_reports_it(older: Path):
    connection, notices = open_checked(older)
    connection.close()
    assert notices == [f"upgraded from schema version 1 to {schema.VERSION}; an older release no longer opens it"]
    assert [type(line) for line in notices] == [RoutineNotice]  # nothing was damaged: no alert
    assert version(older) == schema.VERSION
    again, notices = open_checked(older)
    again.close()
    assert notices == []


async def test_it_has_every_document_and_job_and_goes_on_from_there(older: Path):
    with opened(older) as store:
        found = await store.document("default", "a/b")
        assert found is not None
        assert (found.text, found.metadata, found.embedded, found.coverage) == (
            "a live text",
            '{"page":7}',
            True,
            None,
        )
        assert await store.document("default", "gone") is None
        done, waits, failed = [await store.job(f"job_{name}") for name in ("live", "waits", "failed")]
        assert done is not None
        assert waits is not None
        assert failed is not None
        assert (done.processed, done.total, done.truncated) == (3, 3, 0)
        assert (waits.processed, waits.total, waits.finished_at) == (0, 2, None)
        assert failed.failures == [("e", "refused")]
        assert await embed_pending(store) == 2
        same = await store.accept("job_same", "default", [document("a/b", "a live text", '{"page":7}')], 9.0)
        assert (same.unchanged, same.truncated) == (1, 0)
    connection, _ = open_checked(older)  # checks every row again
    connection.close()


def test_it_has_the_tables_of_a_new_store(older: Path, tmp_path: Path):
    listing = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    upgraded, _ = open_checked(older)
    new, _ = open_checked(tmp_path)
    assert upgraded.execute(listing).fetchall() == new.execute(listing).fetchall()
    upgraded.close()
    new.close()


@pytest.mark.parametrize("done", range(1, len(schema.statements(schema.SCRIPTS[1])) + 1))
def test_a_kill_in_the_middle_leaves_the_older_store(older: Path, done: int):
    connection = connect(older / FILE_NAME, writable=True)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    for statement in schema.statements(schema.SCRIPTS[1])[:done]:
        connection.execute(statement)
    killed = Path(shutil.copytree(older, older.with_name("killed")))
    connection.close()
    reader = connect(killed / FILE_NAME, writable=False)
    check.check(reader, killed / FILE_NAME)
    reader.close()
    assert version(killed) == 1
    opened_again, notices = open_checked(killed)
    opened_again.close()
    assert len(notices) == 1


async def test_the_checksum_covers_the_coverage(older: Path):
    with opened(older) as store:
        await embed_pending(store)
    connection = connect(older / FILE_NAME, writable=True)
    connection.execute("UPDATE documents SET truncated = 0 WHERE doc_id = 'a/b'")
    assert any(line.startswith("documents: 1 rows") for line in check.find_damage(connection))
    connection.close()


def test_the_share_that_makes_a_text_unreadable():
    assert not Coverage(unknown=0.5).unreadable
    assert Coverage(unknown=0.51).unreadable


@pytest.mark.parametrize("beside", [None, "index", "lexical.sqlite3"])
def test_a_store_by_itself_is_a_backup_put_back_and_no_repair(older: Path, beside: str | None):
    connection, _ = open_checked(older)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    (older / "committed").unlink()
    if beside is not None:
        (older / beside).mkdir()
    connection, notices = open_checked(older)
    connection.close()
    assert [isinstance(line, RoutineNotice) for line in notices] == [beside is None]
    assert "committed" in notices[0]
