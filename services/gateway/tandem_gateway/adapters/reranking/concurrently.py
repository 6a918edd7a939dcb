"""Runs the calls of one request side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def concurrently(calls: Sequence[Callable[[], Awaitable[T]]], places: asyncio.Semaphore) -> list[T]:
    """Return the results of calls, in order. The first failure cancels the others and is raised.

    Args:
        calls: each makes one call when it gets its place.
        places: bounds the calls in flight, of all requests together.
    """

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await call()

    if len(calls) == 1:
        return [await one(calls[0])]
    tasks = [asyncio.create_task(one(call), name="call of a reranking") for call in calls]
    failed = task = None
    try:
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((task for task in tasks if task.done() and not task.cancelled() and task.exception()), None)
        return [failed.result()] if failed is not None else [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        del tasks, task, failed  # breaks the reference cycle: error, traceback, this frame, task, error
