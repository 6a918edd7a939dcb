"""A pool spreads its calls, retries a failed one at another replica, and ejects replicas that fail."""

import asyncio

import pytest

from tandem_gateway.adapters.pool.health import Probe
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tests.gateway.embedders.pools import A, B, PoolFixture, scenario
from tests.support.fakes import MODEL, turns


async def test_calls_in_flight_are_spread_evenly_and_each_lane_by_itself():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        for channel in fixture.channels.values():
            channel.hold()
        queries = [asyncio.create_task(fixture.embed()) for _ in range(6)]
        await turns()
        documents = [asyncio.create_task(fixture.embed(priority="bulk")) for _ in range(4)]
        await turns()
        assert [len(channel.calls) for channel in fixture.channels.values()] == [5, 5]
        assert [replica.in_flight for replica in fixture.pool.state().replicas] == [5, 5]
        for channel in fixture.channels.values():
            channel.release()
        await asyncio.gather(*queries, *documents)
        assert [replica.in_flight for replica in fixture.pool.state().replicas] == [0, 0]


@pytest.mark.parametrize(
    "error",
    [
        EmbedderUnavailable("refused"),
        EmbedderBroken("nonsense"),
        Overloaded("full"),
        DeadlineExceeded("late"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_failure_of_one_replica_is_retried_once_at_another(error: Exception):
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = error
        assert (await fixture.embed()).model == MODEL
        assert fixture.retried == [type(error).__name__]
        assert [len(fixture.channels[label].calls) for label in (A, B)] == [1, 1]
        assert fixture.ejected == (["unavailable"] if isinstance(error, EmbedderUnavailable) else [])
        fixture.channels[B].error = error
        with pytest.raises(type(error)):
            await fixture.embed()
        assert sum(len(channel.calls) for channel in fixture.channels.values()) == 4


async def test_texts_that_one_refuses_are_not_sent_to_another():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = EmbedderRejected("too long")
        with pytest.raises(EmbedderRejected):
            await fixture.embed()
        assert fixture.channels[B].calls == []


async def test_the_first_try_gets_a_part_of_the_time_while_another_serves():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        await fixture.embed(timeout=10.0)
        await fixture.embed(timeout=1.0)
        await fixture.embed(timeout=60.0, priority="bulk")
        assert fixture.channels[A].timeouts == [2.0, 0.5, 30.0]
        fixture.channels[B].error = EmbedderUnavailable("refused")
        fixture.channels[A].error = EmbedderUnavailable("refused")
        with pytest.raises(EmbedderUnavailable):
            await fixture.embed(timeout=10.0)
        assert fixture.channels[B].timeouts == [10.0]


async def test_a_lone_replica_gets_all_of_the_time_and_is_asked_even_when_ejected():
    async with scenario(lambda: PoolFixture(A)) as fixture:
        channel = fixture.channels[A]
        channel.error = EmbedderUnavailable("refused")
        for _ in range(3):
            with pytest.raises(EmbedderUnavailable):
                await fixture.embed(timeout=9.0)
        assert fixture.statuses() == {A: "ejected"}
        assert (fixture.ejected, fixture.retried, fixture.pool.replicas) == (["unavailable"], [], 1)
        channel.error = None
        fixture.now += 0.1
        assert (await fixture.embed(timeout=9.0)).model == MODEL
        assert fixture.statuses() == {A: "serving"}
        assert channel.timeouts == [9.0] * 4


async def test_an_ejected_replica_is_asked_again_once_a_probe_says_that_it_is_ready():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = EmbedderUnavailable("refused")
        await fixture.embed()
        assert (fixture.statuses(), fixture.pool.replicas) == ({A: "ejected", B: "serving"}, 1)
        for _ in range(5):
            await fixture.embed()
        assert len(fixture.channels[A].calls) == 1
        fixture.channels[A].found = "not_ready"
        fixture.now += 100
        assert await fixture.pool.ready(timeout=1.0)
        assert fixture.statuses()[A] == "ejected"
        fixture.channels[A].error, fixture.channels[A].found = None, "ready"
        assert await fixture.pool.ready(timeout=1.0)
        assert (fixture.statuses()[A], fixture.pool.replicas) == ("serving", 2)


async def test_lateness_ejects_after_three_in_a_row_but_not_for_callers_in_a_hurry():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = DeadlineExceeded("late")
        for _ in range(4):
            await fixture.embed(timeout=0.5)
        assert fixture.ejected == []
        for _ in range(3):
            await fixture.embed(timeout=10.0)
        assert fixture.ejected == ["late"]


async def test_retries_stop_when_the_budget_is_spent():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        for channel in fixture.channels.values():
            channel.error = Overloaded("full")
        for _ in range(300):
            with pytest.raises(Overloaded):
                await fixture.embed()
        calls = sum(len(channel.calls) for channel in fixture.channels.values())
        assert calls <= 300 + 100 + 0.2 * 300 + 1
        assert len(fixture.retried) == calls - 300


@pytest.mark.parametrize("found", ["not_ready", "unreachable"])
async def test_a_probe_ejects_an_unready_replica_without_a_call(found: Probe):
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].found = found
        assert await fixture.pool.ready(timeout=1.0)
        assert (fixture.statuses(), fixture.ejected) == ({A: "ejected", B: "serving"}, ["unavailable"])
        fixture.channels[B].found = found
        assert not await fixture.pool.ready(timeout=1.0)
        assert not fixture.pool.up


async def test_a_caller_that_gives_up_leaves_no_call_in_flight():
    async with scenario(lambda: PoolFixture(A)) as fixture:
        fixture.channels[A].hold()
        abandoned = asyncio.create_task(fixture.embed())
        await turns()
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        assert [replica.in_flight for replica in fixture.pool.state().replicas] == [0]
        assert fixture.statuses() == {A: "serving"}
