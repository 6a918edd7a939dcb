"""How far the indexes of a gateway are behind the store."""

import asyncio
from concurrent.futures import Future

from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.lifecycle.lag import Lag
from tests.support.fakes import eventually


class Steps:
    """A follower on a clock of the test's; the test ends each step."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waiting: list[Future[bool]] = []

    def step(self) -> Future[bool]:
        self.waiting.append(Future())
        return self.waiting[-1]

    async def end(self, seconds: float, *, more: bool = False, error: Exception | None = None) -> None:
        """End the step that waits after some seconds."""

        async def waits() -> bool:
            return bool(self.waiting)

        await eventually(waits, bool)
        self.now += seconds
        step = self.waiting.pop()
        if error is not None:
            step.set_exception(error)
        else:
            step.set_result(more)


async def test_the_lag_is_the_time_of_the_last_round():
    steps = Steps()
    lag = Lag([steps.step, steps.step], clock=lambda: steps.now)
    assert lag.seconds == 0
    for first, second in ((3.0, 1.0), (0.25, 0.0)):
        measuring = asyncio.create_task(lag.measure())
        await steps.end(first, more=True)
        await steps.end(second)
        await steps.end(0.5)
        await measuring
        assert lag.seconds == first + second + 0.5


async def test_a_round_that_lasts_counts_before_it_ends():
    steps = Steps()
    lag = Lag([steps.step], clock=lambda: steps.now)
    measuring = asyncio.create_task(lag.measure())
    await steps.end(4.0, more=True)
    assert lag.seconds == 4.0
    await steps.end(2.0)
    await measuring
    assert lag.seconds == 6.0
    measuring = asyncio.create_task(lag.measure())
    await steps.end(1.0, more=True)
    assert lag.seconds == 6.0  # the next round has not yet shown that it is shorter
    await steps.end(1.0)
    await measuring
    assert lag.seconds == 2.0


async def test_the_lag_grows_while_the_store_cannot_be_read():
    steps = Steps()
    lag = Lag([steps.step], clock=lambda: steps.now)
    for expected in (5.0, 10.0):
        measuring = asyncio.create_task(lag.measure())
        await steps.end(5.0, error=StorageUnavailable("away"))
        await measuring
        assert lag.seconds == expected
    measuring = asyncio.create_task(lag.measure())
    await steps.end(1.0)
    await measuring
    assert lag.seconds == 11.0
    measuring = asyncio.create_task(lag.measure())
    await steps.end(0.0)
    await measuring
    assert lag.seconds == 0.0
