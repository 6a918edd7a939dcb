"""Which position a search needs, and when the store is asked for it."""

import pytest

from tandem_gateway.errors import NotReady, StorageUnavailable
from tandem_gateway.filters.parsing import parse_filter
from tandem_gateway.ports import position
from tandem_gateway.records.search import Consistency
from tandem_gateway.use_cases import freshness
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.freshness import in_fresh_state

ANY = parse_filter({"kind": {"$eq": "a"}})


class Store:
    """A store whose position is 9, as far as it was asked; sessions need the client's, bounded staleness 5."""

    store_id = "0" * 32
    last = 7

    def __init__(self, asked: int | None = 9, bounded: int | None = 5) -> None:
        self._asked = asked
        self._bounded = bounded
        self.calls: list[str] = []

    def wanted(self, consistency: Consistency, after: int | None) -> int | None:
        return {"strong": None, "bounded": self._bounded, "session": after or self.last}[consistency]

    async def ask(self, timeout: float) -> int | None:
        self.calls.append("ask")
        return self._asked

    async def reach(self, wanted: int, timeout: float) -> None:
        self.calls.append(f"reach {wanted}")
        if wanted > 100:
            raise NotReady("not yet")


async def required(store: Store | None, command: SearchCommand) -> int | None:
    """Return the position that the search is told to need."""

    async def search(seconds: float) -> int | None:
        assert 0 < seconds <= 10.0
        return position.required.get()

    found = await in_fresh_state(store, command, 10.0, search)
    assert position.required.get() is None
    return found


def command(consistency: Consistency = "strong", **given: object) -> SearchCommand:
    return SearchCommand("a", 3, "default", "auto", consistency=consistency, **given)


async def test_a_strong_search_needs_what_the_store_has_after_it_arrived():
    store = Store()
    assert await required(store, command()) == 9
    assert store.calls == ["ask"]


async def test_the_indexes_ask_if_the_store_does_not_tell():
    assert await required(Store(asked=None), command()) is None
    assert await required(None, command()) is None


async def test_other_searches_do_not_ask():
    store = Store()
    assert await required(store, command("bounded")) == 5
    assert await required(store, command("session")) == 7
    token = freshness.after.set(8)
    try:
        assert await required(store, command("session")) == 8
    finally:
        freshness.after.reset(token)
    assert store.calls == ["reach 5", "reach 7", "reach 8"]


async def test_bounded_staleness_asks_if_the_store_was_not_watched():
    store = Store(bounded=None)
    assert await required(store, command("bounded")) == 9
    assert store.calls == ["ask"]


@pytest.mark.parametrize("consistency", ["strong", "session", "bounded"])
async def test_with_a_filter_each_index_asks(consistency: Consistency):
    store = Store()
    assert await required(store, command(consistency, filter=ANY)) is None
    assert store.calls == []


async def test_an_error_of_the_store_is_that_of_the_search():
    class Gone(Store):
        async def ask(self, timeout: float) -> int | None:
            raise StorageUnavailable("gone")

    with pytest.raises(StorageUnavailable, match="gone"):
        await required(Gone(), command())
