"""Shared snapshots over PostgreSQL: no snapshot of another history, and removals stay for those who load an old one."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.postgres.history import Commit, History
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.snapshot_registry import PostgresSnapshotRegistry
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import SNAPSHOT_FORMAT, NewSnapshot, SnapshotManifest
from tests.gateway.ports.steps import collection
from tests.support.fakes import FINGERPRINT, WAIT_SECONDS
from tests.support.stores import document, ingest

OpenStore = Callable[..., PostgresStore]


def snapshot(feed: PostgresIndexFeed, record: CollectionRecord, position: int) -> NewSnapshot:
    manifest = SnapshotManifest(
        SNAPSHOT_FORMAT, feed.store_id(), record.space_id, "default", FINGERPRINT, 8, "", position, 1, 0, []
    )
    encoded = msgspec.json.encode(manifest)
    return NewSnapshot(manifest, encoded, hashlib.sha256(encoded).hexdigest(), f"at {position}")


def execute(url: str, statement: str) -> None:
    with connect(url) as connection:
        connection.execute(statement)


async def test_a_snapshot_of_another_history_is_neither_published_nor_loaded(
    url: str, open_store: OpenStore, tmp_path: Path
):
    store = open_store()
    await ingest(store, [document("a")])
    feed = PostgresIndexFeed(url)
    history = History(tmp_path / "history")
    seen: list[Commit | None] = []
    registry = PostgresSnapshotRegistry(url, history=history, seen=lambda: seen)
    term = registry.lead("one", 60.0)
    assert term is not None
    one = snapshot(feed, await collection(store), feed.last_change())
    with connect(url) as connection:
        row = connection.execute("SELECT store_id, commits, mark FROM store").fetchone()
    assert row is not None
    last = Commit(*row)
    for lost in (last._replace(number=last.number + 1), last._replace(number=last.number - 1)):
        seen = [last, lost]
        assert "another history" in (registry.publish(one, "one", term) or "")
    seen = [last, None]
    assert registry.publish(one, "one", term) is None
    # Before the caches get it, the commit that it may hold is on record.
    assert history.last is None
    (found,) = registry.published(one.manifest.space_id)
    assert (found.refusal, history.last) == (None, last)
    for change, reason in (
        ("UPDATE marks SET mark = gen_random_uuid()", "another history"),
        ("DELETE FROM marks", "another history"),
        ("UPDATE store SET commits = commits - 1", "another history"),
        ("UPDATE store SET store_id = 'x'", "another store"),
    ):
        execute(url, change)
        (found,) = registry.published(one.manifest.space_id)
        assert reason in (found.refusal or ""), change
    registry.close()
    feed.close()
    history.close()


async def test_removals_stay_for_those_who_load_a_published_snapshot(url: str, open_store: OpenStore):
    store = open_store()
    await ingest(store, [document(name) for name in "abcd"])
    feed = PostgresIndexFeed(url)
    registry = PostgresSnapshotRegistry(url)
    record = await collection(store)
    term = registry.lead("one", 60.0)
    assert term is not None
    removals = []
    for name in "abcd":
        await store.delete("default", name)
        removals.append(feed.last_change())
    assert registry.publish(snapshot(feed, record, removals[1]), "one", term) is None
    assert await store.forget_removals(record.space_id, removals[3]) == 2

    def removed(after: int) -> int | None:
        found = feed.changes(record, after=after, removals_after=after, limit=100)
        return None if found is None else len(found.removed)

    assert [removed(after) for after in (removals[0], removals[1])] == [None, 2]
    # A builder that is that far behind does not publish what nobody could follow.
    refused = registry.publish(snapshot(feed, record, removals[0]), "one", term)
    assert refused == "it is older than the removals that the store remembers"
    assert registry.publish(snapshot(feed, record, removals[3]), "one", term) is None
    assert await store.forget_removals(record.space_id, removals[3]) == 0
    assert registry.tidy("one", term, -1.0, 4) == [f"at {removals[3]}"]
    assert await store.forget_removals(record.space_id, removals[3]) == 2
    registry.close()
    feed.close()


async def test_removals_stay_for_a_day(url: str, open_store: OpenStore):
    store = open_store()
    store.removals_kept = 86_400.0
    await ingest(store, [document(name) for name in "abc"])
    feed = PostgresIndexFeed(url)
    record = await collection(store)

    async def forget() -> int:
        last = feed.last_change()
        return await store.forget_removals(record.space_id, last) + store.record_positions(
            "keywords", {record.collection_id: last}
        ).result(WAIT_SECONDS)

    await store.delete("default", "a")
    assert await forget() == 0
    execute(url, "UPDATE change_times SET at = at - interval '23 hours'")
    await store.delete("default", "b")
    assert await forget() == 0
    execute(url, "UPDATE change_times SET at = at - interval '61 minutes'")
    await store.delete("default", "c")
    assert await forget() == 1
    execute(url, "UPDATE change_times SET at = at - interval '25 hours'")
    assert await forget() == 2
    with connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM change_times").fetchone() == (2,)
    feed.close()
