"""Port for the position of the store: how many commits it has, as far as this gateway knows.

A search needs a position, which the indexes must have reached: one that the client knows, or the one that the store has
after the search arrived. Without any, each index asks the store. ``required`` is the position that the current search
needs.
"""

from contextvars import ContextVar
from typing import Final, Protocol

from tandem_gateway.records.search import Consistency

required: Final[ContextVar[int | None]] = ContextVar("tandem.required_position", default=None)
"""The indexes may answer the search without asking the store if they have this position; None to ask the store."""


class StorePosition(Protocol):
    """Knows the position of the store; any thread may use it, and an event loop owns its coroutines."""

    @property
    def store_id(self) -> str:
        """The store's random id: 32 hexadecimal digits."""
        ...

    @property
    def last(self) -> int:
        """The last position that this gateway knows. It has every write that this gateway has acknowledged or shown."""
        ...

    def wanted(self, consistency: Consistency, after: int | None) -> int | None:
        """Return the position that a search needs; None to ask the store with ``ask``.

        Args:
            consistency: of the search.
            after: the position that the client knows; None if it told none.
        """
        ...

    async def ask(self, timeout: float) -> int | None:
        """Ask the store for its position. It has all that was acknowledged before the call, by any gateway.

        Returns:
            None if each index has to ask the store itself, as it does at no cost if the store has only one gateway.

        Raises:
            DeadlineExceeded: the store did not answer within ``timeout`` seconds.
            Overloaded: too many callers wait.
            StorageError: the store cannot be read, or has lost commits that an index has.
        """
        ...

    async def reach(self, position: int, timeout: float) -> None:
        """Wait until the store is known to have a position.

        Raises:
            NotReady: it was not known within ``timeout`` seconds.
            StorageError: the store cannot be read.
        """
        ...
