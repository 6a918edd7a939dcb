"""Calls side by side: what a failure leaves behind."""

import asyncio
import gc
import weakref

import pytest

from tandem_gateway.adapters.reranking.concurrently import concurrently
from tandem_gateway.errors import RerankerUnavailable


@pytest.mark.parametrize("count", [1, 3])
async def test_a_failure_is_in_no_cycle_of_references(count: int):
    class Marker:
        """Goes when the frame of the caller goes."""

    marks: list[weakref.ref[Marker]] = []

    async def call() -> None:
        raise RerankerUnavailable("none answers")

    async def caller() -> None:
        marker = Marker()
        marks.append(weakref.ref(marker))
        await concurrently([call] * count, asyncio.Semaphore(2))

    async def told() -> str:
        try:
            await caller()
        except RerankerUnavailable as error:
            return str(error)
        return ""

    gc.collect()
    gc.disable()
    try:
        assert await told() == "none answers"
        await asyncio.sleep(0)  # the event loop holds the future that woke the task
        assert marks[0]() is None
    finally:
        gc.enable()
