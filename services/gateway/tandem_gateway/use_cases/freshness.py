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

    A search with a filter asks the store in any case: a filter that is newer than the vector index would leave out a
    document that was replaced in between.

    Args:
        store: knows the store's position; None to ask the store in any case.
        command: the search.
        seconds: for all.
        search: searches within the seconds that are left.

    Raises:
        NotReady: the store is not known to have the position that the client knows within ``seconds``.
    """
    if store is None or command.consistency == "strong" or command.filter is not None:
        return await search(seconds)
    wanted = store.wanted(command.consistency, after.get())
    if wanted is None:
        return await search(seconds)
    started = time.monotonic()
    await store.reach(wanted, seconds)
    token = position.required.set(wanted)
    try:
        return await search(seconds - (time.monotonic() - started))
    finally:
        position.required.reset(token)
