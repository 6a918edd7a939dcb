"""Limits of callers that use several gateways of one store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.accounts import DAY_SECONDS, Account
from tandem_gateway.access.metering import Metering
from tandem_gateway.adapters.memory.key_store import MemoryKeyStore
from tandem_gateway.errors import RateLimited
from tandem_gateway.records.access import Usage
from tests.gateway.access.test_metering import DAY, Time, caller, metering


def pair(*limits: str) -> tuple[list[Metering], Time, MemoryKeyStore]:
    store, time = MemoryKeyStore(), Time()
    return [metering(store, time, *limits, shared=True) for _ in range(2)], time, store


async def exchange(meters: list[Metering]) -> None:
    for meter in meters:
        await meter.save()
    for meter in meters:
        await meter.learn()


def allowed(account: Account, most: int = 1000) -> int:
    """Return how many requests an account allows now."""
    for done in range(most):
        try:
            account.request()
        except RateLimited:
            return done
    return most


async def test_what_was_used_at_one_gateway_counts_at_the_other():
    meters, time, _ = pair("requests=10/minute")
    one, two = (meter.account(caller("a")) for meter in meters)
    assert allowed(one) == 10
    await exchange(meters)
    assert allowed(two) == 0
    time.passed += 30.0
    assert allowed(two) == 5
    await exchange(meters)
    assert allowed(one) == 0


async def test_each_use_counts_once():
    meters, _, store = pair("requests=100/day", "documents=100/minute")
    one, two = (meter.account(caller("a")) for meter in meters)
    for _ in range(3):
        for account in (one, two):
            account.request()
            account.use("documents", 4)
        await exchange(meters)
    await exchange(meters)
    assert store.usage(DAY, DAY) == {(DAY, "a"): Usage(6, 0, 24)}
    for account in (one, two):
        assert allowed(account) == 94
        with pytest.raises(RateLimited):
            account.use("documents", 77)
        account.use("documents", 76)


async def test_an_account_that_is_opened_later_knows_the_day():
    meters, time, _ = pair("requests=10/day")
    assert allowed(meters[0].account(caller("a"))) == 10
    await exchange(meters)
    assert allowed(meters[1].account(caller("a"))) == 0
    time.passed += DAY_SECONDS
    await exchange(meters)
    assert [allowed(meter.account(caller("a")), 5) for meter in meters] == [5, 5]
    await exchange(meters)
    assert [allowed(meter.account(caller("a"))) for meter in meters] == [0, 0]


async def test_a_gateway_that_starts_later_counts_what_was_before_once():
    meters, time, store = pair("requests=10/day")
    assert allowed(meters[0].account(caller("a")), 4) == 4
    await exchange(meters)
    third = metering(store, time, "requests=10/day", shared=True)
    late = third.account(caller("a"))
    await exchange([*meters, third])
    assert allowed(late) == 6


async def test_gateways_that_do_not_know_of_each_other_allow_a_burst_each_and_then_a_debt():
    meters, time, _ = pair("requests=60/minute")
    accounts = [meter.account(caller("a")) for meter in meters]
    assert [allowed(account) for account in accounts] == [60, 60]
    await exchange(meters)
    time.passed += 60.0
    assert [allowed(account) for account in accounts] == [0, 0]
    time.passed += 60.0
    assert allowed(accounts[0]) == 60


@given(uses=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.floats(0, 5)), max_size=40))
async def test_gateways_that_know_of_each_other_allow_the_rate_and_one_burst(
    uses: list[tuple[int, int, float]],
):
    meters, time, _ = pair("requests=60/minute")
    accounts = [meter.account(caller("a")) for meter in meters]
    got = 0
    for place, wanted, pause in uses:
        got += allowed(accounts[place], wanted)
        await exchange(meters)
        time.passed += pause
    assert got <= 60 + time.passed + 1
