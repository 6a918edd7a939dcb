"""Accounts of many callers, and their usage in the store."""

import asyncio
from collections.abc import Mapping

import pytest

from tandem_gateway.access import metering as module
from tandem_gateway.access.accounts import DAY_SECONDS, Clocks
from tandem_gateway.access.metering import Metering, MeteringEvents
from tandem_gateway.access.principal import Principal, make_principal
from tandem_gateway.adapters.memory.key_store import MemoryKeyStore
from tandem_gateway.errors import RateLimited, StorageUnavailable
from tandem_gateway.records.access import Usage, UsageKey
from tandem_gateway.records.limits import parse_limits

DAY = 20_000


class Store(MemoryKeyStore):
    """A store that can fail."""

    failing = False

    def add_usage(self, used: Mapping[UsageKey, Usage]) -> None:
        if self.failing:
            raise StorageUnavailable("the disk is full")
        super().add_usage(used)


class Time:
    def __init__(self) -> None:
        self.passed = 0.0
        self.clocks = Clocks(lambda: self.passed, lambda: DAY * DAY_SECONDS + self.passed)


def caller(id: str, *limits: str) -> Principal:
    return make_principal(id, id, "search", ("*",), limits=parse_limits(limits) if limits else None)


def metering(store: MemoryKeyStore, time: Time, *limits: str, **options: object) -> Metering:
    made = Metering(store, parse_limits(limits), clocks=time.clocks, **options)  # type: ignore[arg-type]
    made.load()
    return made


def test_a_caller_has_the_limits_of_all_or_its_own():
    meter = metering(MemoryKeyStore(), Time(), "requests=1/minute")
    meter.account(caller("a")).request()
    with pytest.raises(RateLimited):
        meter.account(caller("a")).request()
    for _ in range(3):
        meter.account(caller("b", "requests=3/minute")).request()
    with pytest.raises(RateLimited):
        meter.account(caller("b", "requests=3/minute")).request()
    meter.account(caller("b", "requests=4/minute")).request()


def test_a_day_goes_on_after_a_restart():
    store, time = MemoryKeyStore(), Time()
    meter = metering(store, time, "documents=10/day")
    meter.account(caller("a")).use("documents", 8)
    meter.close()
    again = metering(store, time, "documents=10/day")
    again.account(caller("a")).use("documents", 2)
    with pytest.raises(RateLimited):
        again.account(caller("a")).use("documents", 1)
    time.passed += DAY_SECONDS
    assert metering(store, time, "documents=10/day").account(caller("a")).tightest().left == 10  # type: ignore[union-attr]


async def test_usage_adds_up_over_saves_and_failures():
    store, time = Store(), Time()
    seen: list[tuple[str, Usage]] = []
    meter = metering(store, time, events=MeteringEvents(used=lambda who, usage: seen.append((who, usage))))
    meter.account(caller("a")).use("documents", 3)
    store.failing = True
    with pytest.raises(StorageUnavailable):
        await meter.save()
    meter.account(caller("a")).request()
    with pytest.raises(StorageUnavailable):
        await meter.save()
    store.failing = False
    meter.account(caller("b")).request()
    assert await meter.usage(DAY, DAY) == {(DAY, "a"): Usage(1, 0, 3), (DAY, "b"): Usage(1)}
    assert await meter.usage(DAY, DAY, "b") == {(DAY, "b"): Usage(1)}
    assert seen == [("a", Usage(0, 0, 3)), ("a", Usage(1)), ("b", Usage(1))]


async def test_a_save_that_is_cancelled_is_not_written_twice():
    store, time = MemoryKeyStore(), Time()
    meter = metering(store, time)
    meter.account(caller("a")).request()
    saving = asyncio.create_task(meter.save())
    await asyncio.sleep(0)
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)
    meter.close()
    assert store.usage(DAY, DAY) == {(DAY, "a"): Usage(1)}


async def test_the_tokens_of_documents_count_for_the_caller_of_their_job(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_JOBS", 2)
    store, time = MemoryKeyStore(), Time()
    meter = metering(store, time)
    for number in range(3):
        meter.account(caller("a")).owns(f"job {number}")
    for number in range(3):
        meter.spent_on(f"job {number}", 10)
    assert await meter.usage(DAY, DAY) == {(DAY, "a"): Usage(tokens=20)}


async def test_old_days_are_forgotten():
    store, time = MemoryKeyStore(), Time()
    meter = metering(store, time, keep_days=2)
    for _ in range(4):
        meter.account(caller("a")).request()
        await meter.save()
        time.passed += DAY_SECONDS
    assert [day for day, _ in store.usage(0, 2 * DAY)] == [DAY + 2, DAY + 3]


async def test_the_number_of_accounts_is_bounded_and_no_usage_is_lost(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_ACCOUNTS", 10)
    store, time = MemoryKeyStore(), Time()
    meter = metering(store, time)
    for number in range(100):
        time.passed += 1
        meter.account(caller(str(number))).request()
    assert len(meter._accounts) <= 10
    assert len(await meter.usage(DAY, DAY)) == 100
