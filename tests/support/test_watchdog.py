"""The watchdog counts the time that work holds the event loop, and ignores delays of the machine."""

import asyncio
import re
import time

from tests.support.watchdog import Watchdog

HELD_SECONDS = 0.05


def compute() -> None:
    end = time.thread_time() + HELD_SECONDS
    while time.thread_time() < end:
        pass


def hold_the_interpreter() -> None:
    """Make ever longer C calls that hold the GIL, until one is long enough."""
    length, taken = 16, 0.0
    while taken < HELD_SECONDS:
        begun = time.thread_time()
        re.match(r"(a*)*b", "a" * length)
        taken = time.thread_time() - begun
        length += 1


async def test_work_of_the_loop_counts() -> None:
    async with Watchdog() as watchdog:
        compute()
        await asyncio.sleep(0)
    assert watchdog.longest >= HELD_SECONDS


async def test_a_thread_that_keeps_the_interpreters_lock_counts() -> None:
    """One of a few holds counts for at least half of its length.

    On a busy machine the loop's thread waits for a processor while it waits for the lock. The watchdog takes both waits
    for the machine's, so a single hold can count for less.
    """
    async with Watchdog() as watchdog:
        for _ in range(20):
            await asyncio.to_thread(hold_the_interpreter)
            await asyncio.sleep(0)
            if watchdog.longest > HELD_SECONDS / 2:
                break
    assert watchdog.longest > HELD_SECONDS / 2


async def test_waiting_does_not_count() -> None:
    async with Watchdog() as watchdog:
        await asyncio.sleep(2 * HELD_SECONDS)
        await asyncio.to_thread(time.sleep, HELD_SECONDS)
    assert watchdog.longest < HELD_SECONDS
