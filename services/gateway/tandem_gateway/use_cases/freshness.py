"""How new the state of the store must be that answers a search."""

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, TypeVar

from tandem_gateway.ports import position
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.use_cases.commands import SearchCommand

R = TypeVar("R")

after: Final[ContextVar[int | None]] = ContextVar("tandem.after", default=None)
"""The position of the store that the client of the request knows; None if it told none."""


async def in_fresh_state(
    store: StorePosition | None, command: SearchCommand, seconds: float, search: Callable[[float], Awaitable[R]]
) -> R:
    """Search in a state of the store that is as new as the search demands.

    The store is asked once for the search, after the search arrived. With the position that the store had then, the
    indexes answer without asking it again.

    For a search with a filter, each index asks: a filter that is newer than the vector index would leave out a document
    that was replaced in between.

    Args:
        store: knows the store's position; None to let each index ask.
        command: the search.
        seconds: for all.
        search: searches within the seconds that are left.

    Raises:
        NotReady: the store is not known to have the position that the client knows within ``seconds``.
        DeadlineExceeded, Overloaded, StorageError: as ``StorePosition.ask``.
    """
    if store is None or command.filter is not None:
        return await search(seconds)
    started = time.monotonic()
    wanted = store.wanted(command.consistency, after.get())
    if wanted is None:
        wanted = await store.ask(seconds)
        if wanted is None:
            return await search(seconds)
    else:
        await store.reach(wanted, seconds)
    token = position.required.set(wanted)
    try:
        return await search(seconds - (time.monotonic() - started))
    finally:
        position.required.reset(token)
