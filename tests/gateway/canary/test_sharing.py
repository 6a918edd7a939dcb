"""The shares of the canary are the same in all gateways of a store."""

import pytest

from tandem_gateway.adapters.memory.shared_state import MemorySharedState, SharedMemory
from tandem_gateway.errors import InvalidRequest, NotReady, StorageUnavailable
from tandem_gateway.records.gateways import SharedShares
from tandem_gateway.use_cases.canary.evaluation import Breach
from tandem_gateway.use_cases.canary.records import CanarySettings
from tandem_gateway.use_cases.canary.router import CanaryRouter
from tandem_gateway.use_cases.canary.sharing import TrafficSharing
from tests.gateway.canary.test_router import FakePool, RouterFixture


class Failing(MemorySharedState):
    """A store that can fail."""

    failing = False

    async def set_shares(self, *args: int, **options: object) -> SharedShares | None:
        if self.failing:
            raise StorageUnavailable("gone")
        return await super().set_shares(*args, **options)  # type: ignore[arg-type]


class Member:
    """One of several gateways with a canary."""

    def __init__(self, memory: SharedMemory, weight: int = 0, shadow: int = 0) -> None:
        self.fixture = RouterFixture(weight, shadow)
        self.router = self.fixture.shift
        self.store = Failing(memory, str(id(self)))
        self.sharing = TrafficSharing(self.router, shared=True)
        self.sharing._store = self.store

    async def look(self) -> tuple[int, int]:
        await self.sharing.step(self.store)
        return self.shares

    @property
    def shares(self) -> tuple[int, int]:
        state = self.sharing.state()
        return state.canary_weight, state.shadow_percent

    def roll_back(self, detail: str = "9 of 10 failed") -> None:
        self.router._roll_back(Breach("errors", detail))


async def test_the_settings_count_until_somebody_sets_shares():
    memory = SharedMemory()
    one, two = Member(memory, 10, 1), Member(memory, 20)
    assert [await each.look() for each in (one, two)] == [(10, 1), (20, 0)]
    await one.sharing.change(30)
    assert one.shares == (30, 1)
    assert await two.look() == (30, 1)
    # A gateway that starts gets what was set.
    assert await Member(memory, 5).look() == (30, 1)


async def test_a_rollback_counts_for_all():
    memory = SharedMemory()
    one, two = Member(memory), Member(memory)
    await one.sharing.change(50, 7)
    assert await two.look() == (50, 7)
    two.roll_back()
    assert two.shares == (0, 7)
    await two.look()
    assert await one.look() == (0, 7)
    told = [each.sharing.state().last_roll_back for each in (one, two)]
    assert told[0] == told[1]
    assert told[0] is not None
    assert (told[0].detail, told[0].canary_weight) == ("9 of 10 failed", 50)


async def test_a_rollback_of_the_shares_before_changes_nothing():
    memory = SharedMemory()
    one, two = Member(memory), Member(memory)
    await one.sharing.change(50)
    await two.look()
    two.roll_back()
    await one.sharing.change(5)  # the operator has set other shares meanwhile
    assert await two.look() == (5, 0)
    assert await one.look() == (5, 0)


async def test_a_rollback_is_told_once_the_store_answers_again():
    memory = SharedMemory()
    one, two = Member(memory), Member(memory)
    await one.sharing.change(50)
    await two.look()
    two.store.failing = True
    two.roll_back()
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await two.look()
    assert await one.look() == (50, 0)
    two.store.failing = False
    assert await two.look() == (0, 0)
    assert await one.look() == (0, 0)


async def test_shares_that_cannot_be_stored_change_nothing():
    one = Member(SharedMemory(), 10)
    one.store.failing = True
    with pytest.raises(StorageUnavailable):
        await one.sharing.change(50)
    assert one.shares == (10, 0)
    one.store.failing = False
    with pytest.raises(InvalidRequest, match="canary_weight"):
        await one.sharing.change(101)
    assert await one.store.shares() is None


async def test_a_gateway_without_a_canary_gets_no_shares():
    memory = SharedMemory()
    one = Member(memory)
    await one.sharing.change(50, 5)
    router = CanaryRouter(FakePool("stable"), None, settings=CanarySettings())
    await TrafficSharing(router, shared=True).step(MemorySharedState(memory, "another"))
    assert (router.state().canary_weight, router.state().shadow_percent) == (0, 0)


async def test_before_the_store_is_open_nothing_can_be_set():
    with pytest.raises(NotReady):
        await TrafficSharing(RouterFixture().shift, shared=True).change(5)
    alone = TrafficSharing(RouterFixture().shift)
    await alone.change(5)
    assert alone.state().canary_weight == 5
