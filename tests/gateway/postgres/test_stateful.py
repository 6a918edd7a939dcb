"""Two gateways over one store in PostgreSQL, with their indexes, keyword indexes and snapshots, against a model."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tandem_gateway import maintenance
from tandem_gateway.adapters.postgres.history import FILE_NAME, SNAPSHOT_FILE_NAME, History
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.ports.change_log import IndexFeed
from tests.gateway.store.histories import SMALL, StoreHistory
from tests.support import postgres
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.postgres_check import find_damage
from tests.support.stores import LIMITS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class Gateway:
    """What one gateway has open."""

    store: PostgresStore
    index: IndexThread
    history: History

    def close(self) -> None:
        self.index.close()
        self.history.close()
        self.store.close()


class SharedStore(StoreHistory):
    """The rules are writes through one of two gateways, which they take in turn, and events in a gateway's life.

    ``store`` and ``index`` are those of the gateway in turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="tandem-stateful-"))
        self.url = postgres.databases().take()
        self.gateways: list[Gateway] = []

    @initialize()
    def first_start(self) -> None:
        for name in ("one", "two"):
            (self.root / name).mkdir()
        self.gateways = [self.start(0), self.start(1)]
        self.running = True
        self.take_turns()

    def start(self, number: int) -> Gateway:
        history = History(self.data_dir(number) / FILE_NAME)
        store = PostgresStore(self.url, limits=LIMITS, max_queued=100, write_timeout=30.0, batch_bytes=1 << 20)
        index = IndexThread(
            lambda: PostgresIndexFeed(self.url, history=history),
            Snapshots(self.data_dir(number)),
            UsearchGraphFactory(),
            answer_limits(),
            sizes=SMALL,
            in_loop=False,
        )
        index.start().result(WAIT_SECONDS)
        return Gateway(store, index, history)

    def data_dir(self, number: int) -> Path:
        return self.root / ("one", "two")[number]

    def open_feed(self) -> IndexFeed:
        return PostgresIndexFeed(self.url)

    @rule()
    def take_turns(self) -> None:
        self.gateways.reverse()
        self.store, self.index = self.gateways[0].store, self.gateways[0].index

    @rule(number=st.integers(0, 1))
    def restart(self, number: int) -> None:
        self.gateways[number].close()
        self.gateways[number] = self.start(self.place(number))
        self.store, self.index = self.gateways[0].store, self.gateways[0].index

    def place(self, number: int) -> int:
        """Return the number of the data directory of a gateway in ``gateways``."""
        return 0 if self.gateways[number].history._path.parent == self.data_dir(0) else 1

    @rule(adopt=st.booleans(), forget=st.booleans())
    def snapshot(self, adopt: bool, forget: bool) -> None:
        data_dir = self.data_dir(self.place(0))
        history = History(data_dir / SNAPSHOT_FILE_NAME)

        def open_feed() -> PostgresIndexFeed:
            return PostgresIndexFeed(self.url, history=history)

        for saved in maintenance.snapshot(data_dir, SMALL, lambda: True, lambda line: None, open_feed):
            if adopt and saved.graph:
                self.index.adopt(saved.space_id, *self.index.load_base(saved.space_id)).result(WAIT_SECONDS)
            if forget:  # the other gateway may lack some of them; it then begins again
                self.do(self.store.forget_removals(saved.space_id, saved.position))
        history.close()

    def teardown(self) -> None:
        try:
            for gateway in self.gateways:
                gateway.close()
            assert find_damage(self.url) == []
            postgres.databases().give_back(self.url)
        finally:
            super().teardown()
            shutil.rmtree(self.root, ignore_errors=True)


TestSharedStore = SharedStore.TestCase
TestSharedStore.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
