"""Reads certificates and tokens again at an interval, so that operators can replace them without a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

CHECK_SECONDS: Final = 5.0
"""Seconds between two looks at the files."""


@asynccontextmanager
async def renewing(renewals: Sequence[Callable[[], None]], seconds: float = CHECK_SECONDS) -> AsyncIterator[None]:
    """Call each function in a thread every ``seconds`` while the context is open.

    A file system may hang. The look then occupies one thread, and the service uses what it has.

    Args:
        renewals: functions that block and raise no exception.
        seconds: time between two rounds.
    """

    async def run() -> None:
        while True:
            await asyncio.sleep(seconds)
            for renew in renewals:
                await asyncio.to_thread(renew)

    task = asyncio.create_task(run(), name="renew") if renewals else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
