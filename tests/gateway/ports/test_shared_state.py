"""The behaviour of what gateways tell each other, in memory and in PostgreSQL."""

from collections.abc import Callable, Iterator

import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.memory.shared_state import MemorySharedState, SharedMemory
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.ports.shared_state import SharedState
from tandem_gateway.records.gateways import SharedShares
from tests.support import postgres
from tests.support.fakes import eventually
from tests.support.stores import LIMITS

Join = Callable[[], SharedState]


@pytest.fixture(params=["memory", "postgres"])
def join(request: pytest.FixtureRequest) -> Iterator[Join]:
    """Return the state for another gateway."""
    if request.param == "memory":
        memory = SharedMemory()
        yield lambda: MemorySharedState(memory, f"gateway {len(memory.seen)}")
        return
    url = postgres.databases().take()
    opened: list[PostgresStore] = []

    def open_store(limits: Limits = LIMITS) -> SharedState:
        opened.append(PostgresStore(url, limits=limits, max_queued=9, write_timeout=30.0, batch_bytes=1 << 20))
        return opened[-1].shared

    yield open_store
    for store in opened:
        store.close()
    postgres.databases().give_back(url)


async def test_gateways_count_each_other(join: Join):
    one = join()
    assert await one.beat() == 1
    two = join()
    assert await two.beat() == 2
    assert await one.beat() == 2
    assert one.gateway_id != two.gateway_id
    await one.leave()
    assert await two.beat() == 1


async def test_shares_are_those_that_were_set_last(join: Join):
    one, two = join(), join()
    assert await one.shares() is None
    assert await one.set_shares(10, 5) == await two.shares() == SharedShares(1, 10, 5, None)
    assert await two.set_shares(0, 5, roll_back="{}") == await one.shares() == SharedShares(2, 0, 5, "{}")
    assert await two.set_shares(20, 6) == SharedShares(3, 20, 6, "{}")


async def test_shares_are_set_if_they_have_the_version_that_is_expected(join: Join):
    one, two = join(), join()
    assert await one.set_shares(10, 5, expected=1) is None
    assert await one.set_shares(10, 5, expected=0) == SharedShares(1, 10, 5, None)
    assert await two.set_shares(0, 5, expected=0) is None
    assert await two.set_shares(0, 5, expected=1) == await one.shares() == SharedShares(2, 0, 5, None)


async def test_one_gateway_does_a_work_until_it_leaves(join: Join):
    one = join()
    await one.beat()
    two = join()
    assert await one.lead("a work", 60.0)
    assert await one.lead("a work", 60.0)
    assert not await two.lead("a work", 60.0)
    assert await two.lead("another work", 60.0)
    await one.leave()
    assert await two.lead("a work", 60.0)


async def test_another_gateway_does_a_work_whose_time_is_over(join: Join):
    one = join()
    await one.beat()
    two = join()
    assert await one.lead("a work", 0.0)
    await eventually(lambda: two.lead("a work", 60.0), bool)
    assert not await one.lead("a work", 60.0)
