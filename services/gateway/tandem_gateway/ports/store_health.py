"""The health of the store, as the gateway reports it."""

from typing import Protocol


class StoreHealth(Protocol):
    """Says whether the store can write. Only a store on disk needs it."""

    @property
    def write_failure(self) -> str | None:
        """Why the last write failed (a full disk, for example); None if it succeeded."""
        ...
