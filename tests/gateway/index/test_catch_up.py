"""An index follows the store page by page, across deleted collections and dropped removals."""

from pathlib import Path

import pytest

from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index import catch_up
from tandem_gateway.index.findable import FindableIndex
from tandem_gateway.index.index_thread import IndexThread
from tests.gateway.index.threads import SMALL, hits
from tests.support.fakes import DIM, WAIT_SECONDS, answer_limits
from tests.support.stores import document, ingest


async def test_a_collection_deleted_while_its_index_follows_ends_the_following(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a")], collection="books")
    feed = SqliteIndexFeed(tmp_path / FILE_NAME)
    (books,) = [record for record in feed.collections() if record.name == "books"]
    index, position = FindableIndex(DIM), catch_up.beginning(feed)
    await store.delete_collection("books")
    assert catch_up.catch_up(index, position, feed, books) == 0
    feed.close()


async def test_an_index_that_missed_forgotten_removals_begins_again(
    store: SqliteStore, thread: IndexThread, tmp_path: Path
):
    await ingest(store, [document(f"d{number}") for number in range(5)])
    feed = SqliteIndexFeed(tmp_path / FILE_NAME)
    (record,) = feed.collections()
    index, position = FindableIndex(DIM), catch_up.beginning(feed)
    catch_up.catch_up(index, position, feed, record)
    assert len(hits(thread, "text of d1", 9)) == 5
    await store.delete("default", "d1")
    assert await store.forget_removals(record.space_id, feed.last_change()) == 1
    await store.delete("default", "d2")
    assert catch_up.catch_up(index, position, feed, record) is None
    assert {hit.doc_id for hit in hits(thread, "text of d1", 9)} == {"d0", "d3", "d4"}
    feed.close()


async def test_many_changes_are_followed_page_by_page(
    store: SqliteStore, thread: IndexThread, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(catch_up, "_PAGE", 3)

    await ingest(store, [document(f"d{number}") for number in range(20)])
    for number in range(0, 20, 4):
        await store.delete("default", f"d{number}")
    await ingest(store, [document("d1", "newer")], job_id="job2")
    assert len(hits(thread, "text of d3", 100)) == 15
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.count, state.collection) == (15, "default")


async def test_a_successor_with_an_unannounced_commit_is_found(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a"), document("b")])
    thread = IndexThread(
        lambda: SqliteIndexFeed(tmp_path / FILE_NAME, lambda: 1),  # reports no later commit
        Snapshots(tmp_path),
        UsearchGraphFactory(),
        answer_limits(),
        sizes=SMALL,
    )
    thread.start().result(WAIT_SECONDS)
    await store.accept("job2", "default", [document("a", metadata='{"n":1}')], 2.0)
    (found, *_) = hits(thread, "text of a")
    assert (found.doc_id, found.metadata) == ("a", '{"n":1}')
    thread.close()
