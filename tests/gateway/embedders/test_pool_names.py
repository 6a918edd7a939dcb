"""A pool follows the addresses of its name."""

import asyncio

import pytest

from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderUnavailable,
    for_log,
)
from tests.gateway.embedders.pools import TEXTS, A, B, C, PoolFixture, scenario, until
from tests.support.fakes import MODEL, turns


async def test_replicas_follow_their_name_and_one_that_left_ends_its_calls():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        following = asyncio.create_task(fixture.pool.follow_names())
        assert (await fixture.embed()).model == MODEL  # waits for the resolver's first answer
        assert fixture.statuses() == {A: "serving"}
        fixture.channels[A].hold()
        in_flight = asyncio.create_task(fixture.embed())
        await turns()
        fixture.names["embedders"] = ["10.0.0.2", "10.0.0.3"]
        await until(lambda: fixture.statuses() == {A: "draining", B: "serving", C: "serving"})
        assert fixture.pool.replicas == 2
        for _ in range(4):
            await fixture.embed()
        assert len(fixture.channels[A].calls) == 2
        assert not fixture.channels[A].closed
        fixture.channels[A].release()
        assert (await in_flight).model == MODEL
        assert (fixture.channels[A].closed, fixture.left) == (True, [A])
        assert fixture.statuses() == {B: "serving", C: "serving"}
        following.cancel()


async def test_a_pool_is_ready_as_soon_as_its_name_is_resolved():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        asked = asyncio.create_task(fixture.pool.ready(timeout=10.0))
        await turns()
        following = asyncio.create_task(fixture.pool.follow_names())
        assert await asked
        following.cancel()


async def test_without_an_answer_of_the_resolver_the_addresses_known_last_are_kept():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        following = asyncio.create_task(fixture.pool.follow_names())
        await fixture.embed()
        fixture.resolver_error = OSError("Name or service not known")
        await until(lambda: fixture.unresolved >= 3)
        assert fixture.statuses() == {A: "serving"}
        assert (await fixture.embed()).model == MODEL
        following.cancel()


async def test_a_name_without_an_address_is_unavailable_with_the_reason():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        fixture.resolver_error = OSError("Name or service not known")
        following = asyncio.create_task(fixture.pool.follow_names())
        with pytest.raises(EmbedderUnavailable, match="has no address") as caught:
            await fixture.embed()
        assert "embedders: Name or service not known" in for_log(caught.value)
        assert not await fixture.pool.ready(timeout=1.0)
        fixture.resolver_error = None
        await until(lambda: bool(fixture.statuses()))
        assert (await fixture.embed()).model == MODEL
        following.cancel()


async def test_a_hanging_resolver_is_called_once_and_delays_no_call_beyond_its_deadline():
    async with scenario(lambda: PoolFixture(A)) as fixture:
        asked = 0

        async def hang(host: str, port: int) -> list[str]:
            nonlocal asked
            asked += 1
            await asyncio.Event().wait()
            return []

        pool = EmbedderPool(
            "stable",
            ["http://name:1"],
            fixture._connect,
            settings=PoolSettings(resolve=0.01),
            events=PoolEvents(unresolved=fixture._unresolved),
            resolve=hang,
        )
        with pytest.raises(DeadlineExceeded):
            await pool.embed(TEXTS, kind="query", priority="interactive", timeout=0.001)
        following = asyncio.create_task(pool.follow_names())
        await until(lambda: fixture.unresolved >= 3)
        assert asked == 1
        following.cancel()
        pool.close()
