"""Waits at the start until the indexes are near the end of a store that other gateways write meanwhile."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from tandem_gateway.errors import GatewayError, for_log

log = logging.getLogger(__name__)

NEAR_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0

Step = Callable[[], Future[bool]]


async def follow(steps: Sequence[Step]) -> None:
    """Follow the store to the position that it has now.

    Args:
        steps: each follows the store a step and returns whether there is more to follow.

    Raises:
        GatewayError: the store cannot be read; what was followed stays.
    """
    for step in steps:
        while await asyncio.wrap_future(step()):
            pass


async def until_near(
    steps: Sequence[Step], *, clock: Callable[[], float] = time.monotonic, retry_seconds: float = _RETRY_SECONDS
) -> None:
    """Follow the store until all that was written since the last look was followed within two seconds.

    Each round is as long as what was written in the one before takes. So the rounds become short, unless others write
    faster than an index follows. A store that cannot be read is waited for.

    Args:
        steps: as in ``follow``.
        clock: returns seconds.
        retry_seconds: pause after a failure.
    """
    failing = False
    while steps:
        started = clock()
        try:
            await follow(steps)
        except GatewayError as error:
            if not failing:
                log.error("the indexes cannot follow the store", extra={"error": for_log(error)})
            failing = True
            await asyncio.sleep(retry_seconds)
            continue
        failing = False
        took = clock() - started
        if took < NEAR_SECONDS:
            return
        log.info("the indexes follow what was written meanwhile", extra={"seconds": round(took, 3)})
