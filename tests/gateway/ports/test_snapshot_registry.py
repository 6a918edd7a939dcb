"""The behaviour of the registries of shared snapshots: one builder at a time publishes, and old snapshots go."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tandem_gateway.adapters.memory.snapshot_registry import MemorySnapshotRegistry
from tandem_gateway.adapters.postgres.snapshot_registry import PostgresSnapshotRegistry
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.shared_snapshots import SnapshotRegistry
from tandem_gateway.records.index import SNAPSHOT_FORMAT, NewSnapshot, SnapshotFile, SnapshotManifest
from tests.gateway.ports.backends import Backend, InMemory, InPostgres, Store
from tests.gateway.ports.steps import collection
from tests.support.stores import document, ingest


@pytest.fixture(params=[InMemory, InPostgres])
def own_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made: Backend = request.param(tmp_path)
    yield made
    made.close()


@pytest.fixture
def opened(own_backend: Backend) -> Store:
    return own_backend.open()


@pytest.fixture
def feed(own_backend: Backend, opened: Store) -> IndexFeed:
    return own_backend.feed(opened)


@pytest.fixture
def registry(own_backend: Backend, feed: IndexFeed) -> Iterator[SnapshotRegistry]:
    made = (
        PostgresSnapshotRegistry(feed._kept.url)
        if isinstance(own_backend, InPostgres)
        else MemorySnapshotRegistry(feed)
    )
    with closing(made):
        yield made


async def a_snapshot(store: Store, feed: IndexFeed) -> Callable[[str, int, int], NewSnapshot]:
    """Make a collection with a vector; return what makes snapshots of it."""
    await ingest(store, [document("a"), document("b")])
    record = await collection(store)

    def make(name: str, position: int, unproven: int = 0) -> NewSnapshot:
        manifest = SnapshotManifest(
            SNAPSHOT_FORMAT,
            feed.store_id(),
            record.space_id,
            "default",
            "f" * 32,
            8,
            "a library",
            position,
            2,
            unproven,
            [SnapshotFile("1-00000000.npz", 3, "")],
        )
        encoded = msgspec.json.encode(manifest)
        return NewSnapshot(manifest, encoded, hashlib.sha256(encoded).hexdigest(), name)

    return make


def test_one_gateway_at_a_time_builds(registry: SnapshotRegistry):
    assert registry.lead("one", 60.0) == 1
    assert registry.lead("two", 60.0) is None
    assert registry.lead("one", 60.0) == 1
    registry.resign("two")
    assert registry.lead("two", 60.0) is None
    registry.resign("one")
    assert registry.lead("two", -1.0) == 2  # a lease that has ended already
    assert registry.lead("two", -1.0) == 2
    assert registry.lead("one", 60.0) == 3


async def test_published_snapshots_are_listed_the_newest_first(
    opened: Store, feed: IndexFeed, registry: SnapshotRegistry
):
    make = await a_snapshot(opened, feed)
    term = registry.lead("one", 60.0)
    assert term is not None
    assert (registry.newest(), registry.published(1)) == ({}, [])
    first, second = make("x/1", 3, 4), make("x/2", 5)
    assert [registry.publish(one, "one", term) for one in (first, second)] == [None, None]
    space = first.manifest.space_id
    found = registry.published(space)
    assert [(one.manifest, one.sha256, one.location, one.refusal) for one in found] == [
        (one.encoded, one.sha256, one.location, None) for one in (second, first)
    ]
    assert found[0].number > found[1].number
    newest = registry.newest()[space]
    assert (newest.number, newest.position, newest.unproven, newest.count) == (found[0].number, 5, 0, 2)
    assert 0 <= newest.seconds < 60
    assert registry.store_id() == feed.store_id()


async def test_a_builder_whose_term_has_ended_publishes_and_removes_nothing(
    opened: Store, feed: IndexFeed, registry: SnapshotRegistry
):
    make = await a_snapshot(opened, feed)
    term = registry.lead("one", -1.0)
    assert term is not None
    assert registry.publish(make("x/1", 3), "one", term) is None  # nobody else has begun to build
    later = registry.lead("two", 60.0)
    assert later == term + 1
    for owner, wrong in (("one", term), ("one", later), ("two", term)):
        assert registry.publish(make("x/2", 4), owner, wrong) == "another gateway builds now"
        assert registry.tidy(owner, wrong, 0.0, 0) is None
    assert [one.location for one in registry.published(make("", 0).manifest.space_id)] == ["x/1"]


async def test_replaced_snapshots_stay_for_a_time_and_those_of_deleted_collections_go(
    opened: Store, feed: IndexFeed, registry: SnapshotRegistry
):
    make = await a_snapshot(opened, feed)
    term = registry.lead("one", 60.0)
    assert term is not None
    for number in range(4):
        assert registry.publish(make(f"x/{number}", number + 1), "one", term) is None
    assert sorted(registry.tidy("one", term, 60.0, 4) or []) == ["x/0", "x/1", "x/2", "x/3"]
    assert sorted(registry.tidy("one", term, 60.0, 3) or []) == ["x/1", "x/2", "x/3"]
    assert registry.tidy("one", term, -1.0, 3) == ["x/3"]
    assert registry.tidy("one", term, -1.0, 3) == ["x/3"]
    await opened.delete_collection("default")
    assert registry.publish(make("x/9", 9), "one", term) == "its collection is gone"
    assert registry.tidy("one", term, 60.0, 3) == []


async def test_new_vectors_are_counted_up_to_a_number(opened: Store, feed: IndexFeed, registry: SnapshotRegistry):
    make = await a_snapshot(opened, feed)
    space = make("", 0).manifest.space_id
    last = feed.last_change()
    assert [registry.added(space, after, 10) for after in (0, last - 1, last)] == [2, 1, 0]
    assert registry.added(space, 0, 1) == 1
