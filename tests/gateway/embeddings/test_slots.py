"""Callers share places in order of arrival, and give them back whatever happens."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.use_cases.slots import Slots
from tests.support.fakes import turns


def taker(slots: Slots, count: int = 1) -> "asyncio.Task[None]":
    return asyncio.create_task(slots.take(count))


async def test_callers_wait_once_all_places_are_taken():
    slots = Slots(lambda: 2)
    await slots.take()
    await slots.take()
    third = taker(slots)
    await turns()
    assert not third.done()
    slots.give_back()
    await third
    assert slots.taken == 2


async def test_they_get_places_in_order_and_a_small_one_does_not_overtake():
    slots = Slots(lambda: 4)
    await slots.take(3)
    large, small = taker(slots, 2), taker(slots)
    await turns()
    assert not large.done()
    assert not small.done()
    slots.give_back(3)
    await large
    await small
    assert slots.taken == 3


async def test_more_places_than_there_are_can_be_had_alone():
    slots = Slots(lambda: 2)
    await slots.take()
    many = taker(slots, 5)
    await turns()
    assert not many.done()
    slots.give_back()
    await many
    after = taker(slots)
    await turns()
    assert not after.done()
    slots.give_back(5)
    await after


async def test_one_that_gives_up_leaves_its_turn_to_those_behind():
    slots = Slots(lambda: 4)
    await slots.take(3)
    large, small = taker(slots, 2), taker(slots)
    await turns()
    large.cancel()
    await small
    assert slots.taken == 4


async def test_one_that_gives_up_after_its_turn_came_gives_its_places_back():
    slots = Slots(lambda: 1)
    await slots.take()
    second, third = taker(slots), taker(slots)
    await turns()
    slots.give_back()
    second.cancel()
    await third
    assert slots.taken == 1


async def test_the_limit_may_rise():
    limit = 1
    slots = Slots(lambda: limit)
    await slots.take()
    waiting = [taker(slots), taker(slots)]
    await turns()
    limit = 3
    slots.give_back()
    await asyncio.gather(*waiting)
    assert slots.taken == 2


@given(
    limit=st.integers(1, 5),
    steps=st.lists(st.tuples(st.sampled_from(["take", "give", "cancel"]), st.integers(1, 4)), max_size=40),
)
def test_no_place_is_lost_and_none_is_taken_twice(limit: int, steps: list[tuple[str, int]]):
    async def play() -> None:
        slots = Slots(lambda: limit)
        waiting: list[tuple[int, asyncio.Task[None]]] = []
        held: list[int] = []

        async def settle() -> None:
            await turns()
            for entry in [entry for entry in waiting if entry[1].done()]:
                waiting.remove(entry)
                if not entry[1].cancelled():
                    held.append(entry[0])

        for what, number in steps:
            if what == "take":
                waiting.append((number, taker(slots, number)))
            elif what == "give" and held:
                slots.give_back(held.pop(number % len(held)))
            elif what == "cancel" and waiting:
                waiting[number % len(waiting)][1].cancel()
            await settle()
            assert slots.taken == sum(held)
            assert slots.taken <= limit or len(held) == 1
            assert held or not waiting
        while held:
            slots.give_back(held.pop())
            await settle()
        assert not waiting

    asyncio.run(play())
