"""The behaviour that all stores share for their position."""

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
