"""The leases of a gateway that is gone, and of one that stops, end."""

import asyncio

import psycopg

from tandem_gateway.adapters.postgres.shared_state import PostgresSharedState
from tandem_gateway.adapters.postgres.store import PostgresStore
from tests.gateway.postgres.conftest import OpenStore
from tests.support.stores import NOW, document

LONG = 3600.0


def not_seen_for(url: str, seconds: float, gateway: PostgresSharedState) -> None:
    with psycopg.connect(url) as connection:
        statement = "UPDATE gateways SET seen_at = seen_at - %s WHERE gateway = %s"
        assert connection.execute(statement, (seconds, gateway.gateway_id)).rowcount == 1


async def claim(store: PostgresStore) -> dict[str, int]:
    """Return the texts that a gateway can claim, with how often they were tried."""
    batch = await store.queue.claim(store.shared.gateway_id, 10, LONG)
    return {} if batch is None else {each.text: each.attempts for each in batch.passages}


async def test_the_leases_of_a_gateway_that_is_gone_end(open_store: OpenStore, url: str):
    one, two = open_store(), open_store()
    await one.accept("job", "default", [document("a")], NOW)
    await one.shared.beat()
    assert await claim(one) == {"text of a": 0}
    assert await two.shared.beat() == 2
    assert await claim(two) == {}
    not_seen_for(url, 14.0, one.shared)
    assert await two.shared.beat() == 2
    assert await claim(two) == {}
    not_seen_for(url, 2.0, one.shared)
    assert await two.shared.beat() == 1
    assert await claim(two) == {"text of a": 1}
    # A gateway that was frozen goes on, and others do not end its leases again while it lives.
    await two.accept("job 2", "default", [document("b")], NOW)
    assert await claim(one) == {"text of b": 0}
    assert await one.shared.beat() == 2
    assert await two.shared.beat() == 2
    assert await claim(two) == {}
    not_seen_for(url, 16.0, one.shared)
    assert await two.shared.beat() == 1
    assert await claim(two) == {"text of b": 1}


async def test_the_leases_of_a_gateway_that_stops_end(open_store: OpenStore):
    one, two = open_store(), open_store()
    await one.accept("job", "default", [document("a")], NOW)
    await one.shared.beat()
    assert await claim(one) == {"text of a": 0}
    await one.shared.leave()
    assert await two.shared.beat() == 1
    assert await claim(two) == {"text of a": 1}


async def test_a_gateway_that_is_gone_for_an_hour_is_forgotten(open_store: OpenStore, url: str):
    one, two = open_store(), open_store()
    await one.shared.beat()
    not_seen_for(url, 3599.0, one.shared)
    await two.shared.beat()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM gateways").fetchone() == (2,)
    not_seen_for(url, 2.0, one.shared)
    await two.shared.beat()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT gateway FROM gateways").fetchall() == [(two.shared.gateway_id,)]


async def test_gateways_that_clean_up_at_once_forget_each_job_once(open_store: OpenStore):
    one, two = open_store(), open_store()
    for number in range(40):
        await one.accept(f"job {number}", "default", [document("a")], NOW)
        await one.cancel(f"job {number}", NOW)
    forgotten = await asyncio.gather(*(store.forget_jobs(NOW + 1) for store in (one, two, one, two)))
    assert sum(forgotten) == 40
    assert [await store.job("job 7") for store in (one, two)] == [None, None]
