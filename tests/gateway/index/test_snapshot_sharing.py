"""The background tasks of gateways that share snapshots: the builder publishes, the others take over or build alone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.lifecycle import snapshot_sharing, snapshots
from tandem_gateway.lifecycle.snapshot_sharing import SnapshotSharing
from tandem_gateway.lifecycle.snapshots import Snapshots
from tandem_gateway.metrics.index import IndexMetrics
from tandem_gateway.records.index import Saved
from tandem_gateway.use_cases.snapshotting import SharingPolicy, SnapshotPolicy
from tests.gateway.index.sharing import Member, members
from tests.support.fakes import eventually
from tests.support.stores import LIMITS, document, ingest


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(limits=LIMITS, batch_bytes=1 << 20)


@pytest.fixture
def two(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Member]]:
    monkeypatch.setattr(snapshots, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(snapshot_sharing, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(snapshot_sharing, "_ELECT_SECONDS", 0.01)
    with members(store, tmp_path, 2) as made:
        yield made


class Running:
    """The tasks of a gateway, with a helper that builds in a thread of the tests."""

    def __init__(self, store: MemoryStore, member: Member, overlay: int) -> None:
        assert member.thread is not None
        self.member = member
        self.registry = CollectorRegistry()
        self.runs = 0
        metrics = IndexMetrics(self.registry)
        self._sharing = SnapshotSharing(member.shared, member.thread, metrics, SharingPolicy(overlay, 1e6), 5)
        policy = SnapshotPolicy(new=5, seconds=0.3)
        loop = Snapshots(member.thread, self, store, policy, metrics, self._sharing)
        self._tasks = [asyncio.create_task(run()) for run in (self._sharing.elect, loop.run)]

    async def run(self) -> list[Saved]:
        manifest = await asyncio.to_thread(self.member.build)
        self.runs += 1
        return [Saved(manifest.space_id, manifest.position, graph=True)]

    def alone(self) -> float | None:
        name = "tandem_gateway_shared_snapshots_total"
        return self.registry.get_sample_value(name, {"outcome": "built_alone"})

    async def until(self, new: int) -> None:
        """Wait until so many vectors are compared one by one, as they are after a snapshot."""

        async def look() -> int:
            return (await asyncio.to_thread(self.member.state)).new

        await eventually(look, lambda found: found == new)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def fill(store: MemoryStore, begin: int, end: int) -> None:
    await ingest(store, [document(f"d{number}") for number in range(begin, end)], job_id=f"job {begin}")


async def test_the_builder_publishes_and_the_other_takes_over_without_building(store: MemoryStore, two: list[Member]):
    for member in two:
        member.start()
    builder = Running(store, two[0], 1000)
    await eventually(lambda: asyncio.to_thread(lambda: two[0].shared.builds), bool)
    other = Running(store, two[1], 1000)
    for begin, end in ((0, 10), (10, 30)):
        await fill(store, begin, end)
        await builder.until(0)
        await other.until(0)
    assert builder.runs >= 2
    assert other.runs == 0
    assert two[0].outcomes == ["published"] * len(two[0].outcomes)
    assert two[1].outcomes == ["loaded"] * len(two[1].outcomes)
    for running in (builder, other):
        await running.stop()


async def test_a_gateway_builds_alone_when_no_snapshot_comes_before_its_overlay_is_full(
    store: MemoryStore, two: list[Member]
):
    two[1].start()
    assert two[0].shared.elect()  # and never builds
    other = Running(store, two[1], 20)
    await fill(store, 0, 20)
    await other.until(20)
    assert (other.runs, other.alone()) == (0, 0)
    await fill(store, 20, 21)
    await other.until(0)
    assert (other.runs, other.alone()) == (1, 1)
    assert two[1].outcomes == []
    await other.stop()


async def test_a_registry_that_cannot_be_reached_stops_neither_searches_nor_what_comes_after(
    store: MemoryStore, two: list[Member], monkeypatch: pytest.MonkeyPatch
):
    two[0].start()
    registry = two[0].shared._registry
    failures = 0

    def fail(*arguments: object) -> None:
        nonlocal failures
        failures += 1
        raise StorageUnavailable("away")

    with monkeypatch.context() as away:
        for method in ("lead", "newest"):
            away.setattr(registry, method, fail)
        running = Running(store, two[0], 1000)
        await fill(store, 0, 10)

        async def failed() -> int:
            return failures

        await eventually(failed, lambda count: count > 5)
        assert (running.runs, two[0].outcomes) == (0, [])
    await running.until(0)
    await eventually(lambda: asyncio.to_thread(two[0].shared.newest), bool)
    await running.stop()
