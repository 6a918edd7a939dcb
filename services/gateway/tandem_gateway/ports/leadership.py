"""Port for work that one gateway at a time does for all that share a store."""

from typing import Protocol


class Leadership(Protocol):
    """Who does a piece of work now. Its calls block, and may raise StorageUnavailable."""

    def take(self, name: str, seconds: float) -> bool:
        """Take the work for some seconds, or go on with it; return whether this process does it now.

        Another process may take it as soon as the seconds are over, by the clock of the store.
        """
        ...

    def give_back(self, name: str) -> None:
        """Let another process take the work; nothing happens if this one does not do it."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
