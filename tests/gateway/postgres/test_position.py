"""The position of a shared store, as one gateway knows it."""

import asyncio
from uuid import UUID

import pytest

from tandem_gateway.adapters.postgres.history import Commit
from tandem_gateway.adapters.postgres.position import BOUND_SECONDS, PostgresPosition
from tandem_gateway.errors import NotReady, StorageUnavailable

STORE = "0" * 32


class Known(PostgresPosition):
    """A position with a clock of its own, and a store that has ``committed``."""

    def __init__(self, committed: int = 0) -> None:
        self.now = 100.0
        self.committed = committed
        self.looks = 0
        super().__init__(self._look_at_it, clock=lambda: self.now)

    async def _look_at_it(self, timeout: float) -> Commit | None:
        self.looks += 1
        return Commit(STORE, self.committed, UUID(int=self.committed))


def test_the_position_never_goes_back():
    known = Known()
    for number in (3, 7, 5):
        known.note(STORE, number)
    assert (known.store_id, known.last) == (STORE, 7)


def test_a_session_needs_the_position_of_its_client_or_the_last_one():
    known = Known()
    known.note(STORE, 7)
    assert [known.wanted("session", after) for after in (None, 3, 9)] == [7, 3, 9]


def test_bounded_staleness_needs_what_the_watch_saw_last():
    known = Known()
    assert known.wanted("bounded", None) is None  # nothing was watched yet
    known.note(STORE, 7)
    known.watched(5, known.now)
    known.now += BOUND_SECONDS
    assert known.wanted("bounded", 6) == 5


def test_bounded_staleness_asks_the_store_after_the_watch_has_failed_for_long():
    known = Known()
    known.watched(5, known.now)
    known.now += BOUND_SECONDS + 0.001
    assert known.wanted("bounded", None) is None


async def test_the_position_that_the_store_tells_is_known_afterwards():
    known = Known(committed=9)
    assert (await known.ask(5.0), known.last, known.store_id) == (9, 9, STORE)


async def test_no_position_if_the_store_did_not_prove_its_history():
    async def unproven(timeout: float) -> None:
        return None

    known = PostgresPosition(unproven)
    assert (await known.ask(5.0), known.last) == (None, 0)


async def test_a_position_of_another_gateway_needs_one_look():
    known = Known(committed=9)
    await known.reach(8, 5.0)
    await known.reach(9, 5.0)
    assert (known.looks, known.last) == (1, 9)


async def test_a_later_position_is_waited_for():
    known = Known(committed=9)
    waiting = asyncio.create_task(known.reach(10, 30.0))
    while not known.looks:  # noqa: ASYNC110
        await asyncio.sleep(0)
    known.note(STORE, 10)  # as the watch does
    await waiting
    assert known.looks == 1


async def test_a_position_that_does_not_come_is_refused():
    known = Known(committed=9)
    with pytest.raises(NotReady, match="x-tandem-position: the store has 9 commits and not yet 10, after 0"):
        await known.reach(10, 0.0)


async def test_a_store_that_cannot_be_read_is_no_late_position():
    async def fail(timeout: float) -> None:
        raise StorageUnavailable("gone")

    with pytest.raises(StorageUnavailable):
        await PostgresPosition(fail).reach(1, 1.0)
