"""How long a gateway that starts follows the store before it is ready."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from tandem_gateway.errors import GatewayError, StorageUnavailable
from tandem_gateway.lifecycle.nearness import NEAR_SECONDS, until_near


class Follower:
    """Each step takes the next number of seconds on a clock of the test's, or fails."""

    def __init__(self, steps: list[tuple[float | GatewayError, bool]]) -> None:
        self.left = list(steps)
        self.now = 0.0

    def step(self) -> Future[bool]:
        result: Future[bool] = Future()
        took, more = self.left.pop(0)
        if isinstance(took, GatewayError):
            result.set_exception(took)
        else:
            self.now += took
            result.set_result(more)
        return result

    async def until_near(self, *others: Callable[[], Future[bool]]) -> None:
        await until_near([self.step, *others], clock=lambda: self.now, retry_seconds=0.0)


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        pytest.param([(0.0, False), (9.0, False)], 1, id="near at once"),
        pytest.param([(1.5, True), (0.4, False), (9.0, False)], 1, id="several steps in a short round"),
        pytest.param([(1.5, True), (0.5, False), (0.1, False), (9.0, False)], 1, id="a long round is followed by one"),
        pytest.param([(900.0, False), (50.0, True), (50.0, False), (5.0, False), (0.3, False)], 0, id="ever shorter"),
        pytest.param([(StorageUnavailable("away"), False)] * 3 + [(0.0, False)], 0, id="a database that is away"),
    ],
)
async def test_rounds_go_on_until_one_is_short(steps: list[tuple[float | GatewayError, bool]], left: int):
    follower = Follower(steps)
    await follower.until_near()
    assert len(follower.left) == left
    assert NEAR_SECONDS == 2.0


async def test_every_index_is_followed_in_each_round():
    one, other = Follower([(3.0, False), (0.0, False)]), Follower([(0.0, True), (0.0, False), (0.0, False)])
    await one.until_near(other.step)
    assert (one.left, other.left) == ([], [])


async def test_a_store_of_one_gateway_has_nothing_to_wait_for():
    await until_near([])


async def test_a_start_that_is_cancelled_waits_for_no_step():
    never: Future[bool] = Future()
    waiting = asyncio.create_task(until_near([lambda: never]))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert never.cancelled()
