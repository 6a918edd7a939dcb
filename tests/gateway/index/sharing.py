"""Gateways that share snapshots: a data directory, an index thread and the shared snapshots of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tandem_gateway.adapters.memory.snapshot_registry import MemorySnapshotRegistry
from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.shared_folder import SharedFolder
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index.index_thread import IndexThread, OtherSources
from tandem_gateway.index.shared_snapshots import Outcome, SharedSnapshots
from tandem_gateway.index.snapshot_update import Places, update_snapshot
from tandem_gateway.index.state import IndexState
from tandem_gateway.ports.index import GraphFactory
from tandem_gateway.ports.shared_snapshots import SharedFiles, SnapshotRegistry
from tandem_gateway.records.index import SnapshotManifest
from tests.gateway.index.threads import SMALL
from tests.support.fakes import WAIT_SECONDS, answer_limits


class Member:
    """One of the gateways over a store in memory."""

    def __init__(
        self,
        store: MemoryStore,
        data_dir: Path,
        registry: SnapshotRegistry,
        files: SharedFiles,
        factory: GraphFactory | None = None,
    ) -> None:
        data_dir.mkdir(exist_ok=True)
        self._store = store
        self.snapshots = Snapshots(data_dir)
        self.outcomes: list[Outcome] = []
        self._factory = factory or UsearchGraphFactory()
        self.shared = SharedSnapshots(registry, files, self.snapshots, self._factory, note=self.outcomes.append)
        self.thread: IndexThread | None = None

    def start(self) -> list[str]:
        self.thread = IndexThread(
            self._store.open_feed,
            self.snapshots,
            self._factory,
            answer_limits(),
            sizes=SMALL,
            sources=OtherSources(self.shared),
        )
        return self.thread.start().result(WAIT_SECONDS)

    def state(self) -> IndexState:
        assert self.thread is not None
        (state,) = self.thread.state().result(WAIT_SECONDS)
        return state

    def build(self) -> SnapshotManifest:
        """Do what the process that saves snapshots does."""
        feed = self._store.open_feed()
        (record,) = [record for record in feed.spaces().all() if record.dim is not None]
        update_snapshot(Places(feed, self.snapshots, self._factory, SMALL), record)
        return self.snapshots.manifest(record.space_id)

    def build_and_publish(self) -> bool:
        assert self.shared.elect()
        return self.shared.publish(self.build())

    def take_over(self) -> SnapshotManifest | None:
        """Do what a running gateway does when others have published."""
        assert self.thread is not None
        space = self.state().space_id
        manifest = self.shared.receive(space, self.shared.manifest(space))
        if manifest is not None:
            self.thread.adopt(space, *self.thread.load_base(space)).result(WAIT_SECONDS)
        return manifest

    def close(self) -> None:
        if self.thread is not None:
            self.thread.close()


@contextmanager
def members(store: MemoryStore, folder: Path, count: int) -> Iterator[list[Member]]:
    """Return gateways over one store, which are not started, with a shared folder."""
    (folder / "shared").mkdir()
    registry = MemorySnapshotRegistry(store.open_feed())
    made = [Member(store, folder / str(number), registry, SharedFolder(folder / "shared")) for number in range(count)]
    try:
        yield made
    finally:
        for member in made:
            member.close()
