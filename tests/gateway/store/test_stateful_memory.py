"""The store in memory and the vector index against the model of ``test_stateful``, without files and crashes."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.ports.change_log import IndexFeed
from tests.gateway.store.histories import SMALL, StoreHistory
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.stores import LIMITS

pytestmark = pytest.mark.slow


class MemoryData(StoreHistory):
    """The rules are writes to a store in memory, and restarts of its index."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tandem-stateful-"))
        """For snapshots, of which there is none."""

    @initialize()
    def first_start(self) -> None:
        self.store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
        self.start_index()

    def start_index(self) -> None:
        self.index = IndexThread(
            self.store.open_feed, Snapshots(self.folder), UsearchGraphFactory(), answer_limits(), sizes=SMALL
        )
        self.index.start().result(WAIT_SECONDS)
        self.running = True

    def open_feed(self) -> IndexFeed:
        return self.store.open_feed()

    @rule(behind=st.integers(0, 3))
    def forget_removals(self, behind: int) -> None:
        """Forget removals up to near the last change; an index that lacks some of them begins again."""
        for record in self.do(self.store.collections()):
            self.do(self.store.forget_removals(record.space_id, self.open_feed().last_change() - behind))

    @rule()
    def restart_index(self) -> None:
        self.index.close()
        self.start_index()

    def teardown(self) -> None:
        try:
            if self.running:
                self.index.close()
        finally:
            super().teardown()
            shutil.rmtree(self.folder, ignore_errors=True)


TestMemoryData = MemoryData.TestCase
TestMemoryData.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
