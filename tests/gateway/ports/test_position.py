"""The behaviour that all stores share for their position."""

import asyncio
import re

import pytest

from tests.gateway.ports.backends import Store
from tests.support.stores import NOW, document, ingest


async def test_a_position_has_what_was_acknowledged_before(store: Store):
    before = store.position.last
    await ingest(store, [document("a")])
    after = store.position.last
    assert before <= after
    assert re.fullmatch("[0-9a-f]{32}", store.position.store_id)
    await store.delete("default", "a")
    assert store.position.last >= after
    # A search of a session needs no position, or one that has the deletion.
    assert store.position.wanted("session", None) in (None, store.position.last)
    assert store.position.wanted("session", after) in (None, after)


async def test_a_strong_search_asks_the_store(store: Store):
    await store.accept("job", "default", [document("a")], NOW)
    assert store.position.wanted("strong", store.position.last) is None


@pytest.mark.parametrize("back", [0, 1])
async def test_a_position_that_the_store_has_is_reached_at_once(store: Store, back: int):
    await store.accept("job", "default", [document("a")], NOW)
    await store.position.reach(max(0, store.position.last - back), 0.0)


async def test_the_store_has_what_was_acknowledged_before_it_is_asked(store: Store):
    for number in range(3):
        await store.accept(f"job {number}", "default", [document("a", f"text {number}")], NOW)
        acknowledged = store.position.last
        asked = await store.position.ask(10.0)
        # None if each index asks.
        assert asked is None or asked == acknowledged


async def test_several_searches_ask_at_once(store: Store):
    await store.accept("job", "default", [document("a")], NOW)
    asked = await asyncio.gather(*(store.position.ask(10.0) for _ in range(20)))
    assert set(asked) in ({None}, {store.position.last})
