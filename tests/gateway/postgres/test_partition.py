"""The network between a gateway and the database turns into a black hole."""

import asyncio
from collections.abc import Iterator

import pytest

from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.errors import StorageUnavailable
from tests.gateway.postgres.conftest import OpenStore
from tests.support import postgres
from tests.support.fakes import eventually
from tests.support.partition import Network
from tests.support.stores import LIMITS, NOW, document

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(postgres.server())
    yield made
    made.remove()


async def test_a_gateway_that_is_cut_off_notices_and_holds_no_lock(url: str, open_store: OpenStore, network: Network):
    near = open_store()
    (database,) = (part.partition("=")[2] for part in url.split() if part.startswith("dbname="))
    store = PostgresStore(network.url(database), limits=LIMITS, max_queued=100, write_timeout=60.0, batch_bytes=1 << 20)
    await store.accept("job 1", "default", [document("a")], NOW)
    assert await store.position.ask(60.0) == store.position.last
    network.cut()
    asked = asyncio.create_task(store.position.ask(60.0))
    # The time-out of TCP counts, not that of the caller.
    with pytest.raises(StorageUnavailable):
        await store.accept("job 2", "default", [document("b")], NOW)
    with pytest.raises(StorageUnavailable):
        await asked
    # The others go on: it held no lock.
    await near.accept("job 3", "default", [document("c")], NOW)
    network.heal()

    async def accepted() -> bool:
        try:
            await store.accept("job 2", "default", [document("b")], NOW)
        except StorageUnavailable:
            return False
        return True

    await eventually(accepted, bool)
    assert await store.position.ask(60.0) == store.position.last
    (record,) = await near.collections()
    assert record.pending == 3
    store.close()
    with connect(url) as connection:
        waiting = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        ).fetchone()
    assert waiting == (0,)
