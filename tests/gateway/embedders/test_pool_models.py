"""A pool knows which model each replica serves, and sends a call to a replica that has its model."""

import asyncio

import pytest

from tandem_gateway.records.embedders import ServedModel
from tests.gateway.embedders.pools import OTHER, A, B, PoolFixture, scenario
from tests.support.fakes import FINGERPRINT, MODEL, turns


async def test_a_call_for_a_model_goes_to_a_replica_known_to_have_it():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].fingerprint = OTHER
        assert await fixture.pool.ready(timeout=1.0)  # learns the models of both replicas
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER), fixture.pool.serves("?")) == (
            True,
            True,
            False,
        )
        for _ in range(5):
            assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT
            assert (await fixture.embed(fingerprint=OTHER)).fingerprint == OTHER
        assert fixture.retried == []
        # One replica's model changes unnoticed: its next answer shows it, and the pool calls the other replica.
        fixture.channels[A].fingerprint, fixture.channels[B].fingerprint = FINGERPRINT, OTHER
        assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == OTHER
        assert (await fixture.embed(fingerprint=OTHER)).fingerprint == OTHER
        fixture.now += 11
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER)) == (False, False)
        await fixture.pool.ready(timeout=1.0)
        assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT


async def test_a_probe_learns_the_model_without_a_call(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    async with scenario(lambda: PoolFixture(A)) as fixture:
        (replica,) = fixture.pool.state().replicas
        assert (replica.served, replica.fingerprint) == (None, None)
        for _ in range(3):
            assert await fixture.pool.ready(timeout=1.0)
        (replica,) = fixture.pool.state().replicas
        assert replica.served == ServedModel(FINGERPRINT, MODEL, 8, 256, "int8")
        assert fixture.pool.serves(FINGERPRINT)
        assert fixture.channels[A].calls == []
        assert caplog.messages.count("the embedder's model") == 1
        fixture.channels[A].fingerprint = OTHER
        await fixture.embed()
        (replica,) = fixture.pool.state().replicas
        assert replica.served == ServedModel(OTHER, MODEL, 8)
        await fixture.pool.ready(timeout=1.0)
        (replica,) = fixture.pool.state().replicas
        assert replica.served == ServedModel(OTHER, MODEL, 8, 256, "int8")
        assert caplog.messages.count("the embedder's model") == 2


async def test_an_unready_replica_has_no_model():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        await fixture.pool.ready(timeout=1.0)
        fixture.channels[A].found = "not_ready"
        await fixture.pool.ready(timeout=1.0)
        assert [replica.fingerprint for replica in fixture.pool.state().replicas] == [None, FINGERPRINT]


async def test_the_model_of_an_older_embedder_is_learnt_from_its_first_reply():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        for channel in fixture.channels.values():
            channel.silent = True
        assert await fixture.pool.ready(timeout=1.0)
        assert [replica.fingerprint for replica in fixture.pool.state().replicas] == [None, None]
        # Any model may be the right one until a reply shows which it is. No text is embedded only to find out.
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER)) == (True, True)
        assert [channel.calls for channel in fixture.channels.values()] == [[], []]
        fixture.channels[A].fingerprint = fixture.channels[B].fingerprint = OTHER
        fixture.channels[A].hold()
        waiting = asyncio.create_task(fixture.embed())
        await turns()
        await fixture.embed()
        fixture.channels[A].release()
        await waiting
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER)) == (False, True)
        await fixture.pool.ready(timeout=1.0)
        assert [replica.fingerprint for replica in fixture.pool.state().replicas] == [OTHER, OTHER]
        fixture.now += 11
        assert fixture.pool.serves(FINGERPRINT), "another embedder may run at the address"


async def test_an_answer_of_another_model_is_looked_for_once_more_elsewhere():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        await fixture.pool.ready(timeout=1.0)
        fixture.channels[A].fingerprint = OTHER
        assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT
        assert fixture.retried == ["fingerprint"]
