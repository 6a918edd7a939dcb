"""A data directory of an older release opens and keeps its data."""

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite import check, migrations
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect
from tandem_gateway.adapters.sqlite.earlier_schemas import CHECKSUMS_OF
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.lexical import file as lexical_file
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.schema import register
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.errors import Conflict
from tandem_gateway.index import catch_up
from tandem_gateway.records.chunking import DEFAULT_CHUNKING
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.job_documents import JobDocument
from tandem_gateway.records.notices import RoutineNotice
from tandem_gateway.records.sources import SourceDifference
from tests.gateway.store.lexical import follow
from tests.gateway.store.older_stores import copy_of, version
from tests.support.stores import document, dump, embed_pending, ingest, opened, pending_documents


def test_an_older_store_is_upgraded_and_reports_it(older: Path):
    before = version(older)
    connection, notices = open_checked(older)
    connection.close()
    assert notices == [
        f"upgraded from schema version {before} to {migrations.VERSION}; an older release no longer opens it"
    ]
    assert [type(line) for line in notices] == [RoutineNotice]  # nothing was damaged: no alert
    assert version(older) == migrations.VERSION
    again, notices = open_checked(older)
    again.close()
    assert notices == []


async def test_schema_1_has_every_document_and_job_and_goes_on_from_there(tmp_path: Path):
    older = copy_of(1, tmp_path)
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


async def test_schema_2_has_every_document_and_job_and_goes_on_from_there(tmp_path: Path):
    older = copy_of(2, tmp_path)
    with opened(older) as store:
        texts = {f"d{number}": f"text {number} of the release" for number in range(12) if number not in (3, 5)}
        for doc_id, text in texts.items():
            found = await store.document("default", doc_id)
            assert found is not None
            assert (found.text, found.embedded) == (text, True)
        assert (await store.document("books", "a/b")).metadata == '{"page":7}'  # type: ignore[union-attr]
        assert (await store.document("default", "d5")).embedded is False  # type: ignore[union-attr]
        for collection, doc_id in (("default", "d3"), ("books", "gone"), ("default", "bad")):
            assert await store.document(collection, doc_id) is None
        assert (await store.job("job_failed")).failures == [("bad", "refused")]  # type: ignore[union-attr]
        assert [(record.name, record.live, record.pending) for record in await store.collections()] == [
            ("books", 1, 0),
            ("default", 11, 2),
        ]
        assert await embed_pending(store) == 2
        assert (await store.job("job_waits")).finished_at is not None  # type: ignore[union-attr]
    connection, _ = open_checked(older)
    connection.close()


@pytest.fixture
def analysis_of_schema_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyword index with terms of another version is built again in any case."""
    monkeypatch.setattr(lexical_file, "ANALYSIS_VERSION", "2/14.0.0/3.1.0")


@pytest.mark.usefixtures("analysis_of_schema_2")
async def test_the_indexes_of_schema_2_stay_valid(tmp_path: Path):
    """A passage has the number that its document's row had, so no graph and no keyword index is built again."""
    older = copy_of(2, tmp_path)
    with opened(older) as store:
        feed = SqliteIndexFeed(older / FILE_NAME)
        record = next(record for record in feed.collections() if record.name == "default")
        base, position = catch_up.restore(feed, Snapshots(older), UsearchGraphFactory(), record, writable=False)
        assert sorted(base.live_keys().tolist()) == sorted(feed.passage_ids(record.space_id).tolist())
        assert feed.changed_spaces(position.added) == []
        feed.close()
        follower = follow(older)
        assert follower.notices == []
        assert follower.total == 14
        assert await embed_pending(store) == 2
        while follower.step():
            pass
        assert follower.total == 13  # the older version of d5 is gone
        follower.close()


@pytest.mark.usefixtures("analysis_of_schema_2")
async def test_a_keyword_index_of_schema_2_that_missed_a_removal_is_built_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Schema 2 kept no record of the removal of a pending document."""
    older = copy_of(2, tmp_path)
    with closing(sqlite3.connect(older / FILE_NAME)) as connection:
        register(connection)
        for statement in ("DELETE FROM waiting WHERE row_id = {0}", "DELETE FROM documents WHERE row_id = {0}"):
            pending = "(SELECT min(row_id) FROM documents WHERE change IS NULL)"
            connection.execute(statement.format(pending))
        connection.execute("UPDATE jobs SET processed = processed + 1 WHERE finished_at IS NULL")
        connection.execute(f"UPDATE jobs SET checksum = {CHECKSUMS_OF[1]['jobs']}")
        connection.commit()
    with opened(older):
        follower = follow(older)
        assert (follower.notices, follower.total) == ([], 14)
        while follower.step():
            pass
        assert follower.total == 13
        assert [record.message for record in caplog.records] == ["the keyword index is outdated and is rebuilt"]
        follower.close()


async def test_schema_4_keeps_whole_texts_where_it_has_documents(tmp_path: Path):
    older = copy_of(4, tmp_path)
    with opened(older) as store:
        assert [
            (record.name, record.live, record.pending, record.chunking) for record in await store.collections()
        ] == [
            ("books", 0, 0, DEFAULT_CHUNKING),
            ("default", 2, 2, None),
        ]
        found = await store.document("default", "a/b")
        assert found is not None
        assert (found.text, found.metadata, found.embedded) == ("a live text", '{"page":7,"lang":"en"}', True)
        assert await embed_pending(store) == 2
        assert (await store.job("job_waits")).finished_at is not None  # type: ignore[union-attr]
        await ingest(store, [document("new", "one\n\ntwo")], "job_new", "books")
        assert (await store.job("job_new")).finished_at is not None  # type: ignore[union-attr]
    connection, _ = open_checked(older)
    connection.close()


async def test_the_jobs_of_schema_5_have_no_list_of_documents_and_new_ones_do(tmp_path: Path):
    older = copy_of(5, tmp_path)
    with opened(older) as store:
        live, failed = await store.job("job_live"), await store.job("job_failed")
        assert live is not None
        assert failed is not None
        assert (live.processed, live.total, live.truncated, live.cancelled) == (3, 3, 1, 0)
        assert failed.failures == [("bad", "refused")]
        assert await store.job_documents("job_live", 0, 10, None) is None
        await ingest(store, [document("a/b", "a live text", '{"page":7}'), document("c", "waits")], "job_new")
        assert (await store.job("job_waits")).finished_at is not None  # type: ignore[union-attr]
        page = await store.job_documents("job_new", 0, 10, None)
        assert page is not None
        assert page.documents == [JobDocument("a/b", "unchanged"), JobDocument("c", "embedded")]
    connection, _ = open_checked(older)
    connection.close()


async def test_the_documents_of_schema_6_belong_to_no_source_until_they_are_ingested_again(tmp_path: Path):
    older = copy_of(6, tmp_path)
    with opened(older) as store:
        assert await store.synchronize("default", "shelf", {"m": "1"}) == SourceDifference(["m"], [], [])
        held = dataclasses.replace(
            document("m", "# one\n\ntwo", text_format="markdown"), source="shelf", source_hash="1"
        )
        same = await store.accept("job_new", "default", [held], 9.0)
        assert same.unchanged == 1
        assert await store.synchronize("default", "shelf", {"m": "1"}) == SourceDifference([], [], [])
        assert await embed_pending(store) == 2
    connection, _ = open_checked(older)
    connection.close()


async def test_what_failed_in_schema_7_cannot_be_retried_and_what_fails_later_can(tmp_path: Path):
    older = copy_of(7, tmp_path)
    with opened(older) as store:
        job = await store.job("job_failed")
        assert job is not None
        assert (job.failed, job.retried_at) == (1, None)
        with pytest.raises(Conflict, match="none of the 1 failed documents of job_failed can be retried any more"):
            await store.retry("job_failed", 9.0)
        assert await store.synchronize("default", "shelf", {"s": "1"}) == SourceDifference([], [], [])
        await store.accept("job_again", "default", [document("bad")], 9.0)
        for waiting in await pending_documents(store):
            if waiting.text == "text of bad":
                await store.queue.fail(waiting.passage_id, "refused")
        found = await store.retry("job_again", 10.0)
        assert found is not None
        assert found.retried == 1
        assert await embed_pending(store) == 3
    connection, _ = open_checked(older)
    connection.close()


def test_it_has_the_tables_of_a_new_store(older: Path, tmp_path: Path):
    listing = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    upgraded, _ = open_checked(older)
    new, _ = open_checked(tmp_path)
    assert upgraded.execute(listing).fetchall() == new.execute(listing).fetchall()
    upgraded.close()
    new.close()


async def test_the_checksum_covers_the_coverage(older: Path):
    with opened(older) as store:
        await embed_pending(store)
    connection = connect(older / FILE_NAME, writable=True)
    connection.execute("UPDATE vectors SET truncated = 1 WHERE passage_id = (SELECT min(passage_id) FROM vectors)")
    assert any(line.startswith("vectors: 1 rows") for line in check.find_damage(connection))
    connection.close()


def test_an_upgraded_store_gives_its_numbers_on(older: Path):
    connection, _ = open_checked(older)
    connection.close()
    rows = dump(older)
    counters = {row[0]: row[1] for row in rows["counters"]}
    assert counters["passage"] >= counters["document"] >= max(row[0] for row in rows["documents"])
    assert counters["space"] == counters["collection"] == max(row[0] for row in rows["spaces"])
    assert "row" not in counters


def test_the_share_that_makes_a_text_unreadable():
    assert not Coverage(unknown=0.5).unreadable
    assert Coverage(unknown=0.51).unreadable


@pytest.mark.parametrize("beside", [None, "index", "lexical.sqlite3"])
def test_a_store_by_itself_is_a_backup_put_back_and_no_repair(tmp_path: Path, beside: str | None):
    older = copy_of(1, tmp_path)
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
