"""The position of a store that only one gateway uses: each search asks for the last commit, which costs nothing."""

from tandem_gateway.records.search import Consistency


class SolePosition:
    """Implements ``StorePosition``: every search finds all that was acknowledged, so that one position is enough."""

    last = 0
    """See ``StorePosition.last``."""

    def __init__(self, store_id: str) -> None:
        """Make it for the store with this id."""
        self.store_id = store_id
        """See ``StorePosition.store_id``."""

    def wanted(self, consistency: Consistency, after: int | None) -> None:
        """Let every search ask the store; see ``StorePosition.wanted``."""

    async def ask(self, timeout: float) -> None:
        """Let each index ask the store; see ``StorePosition.ask``."""

    async def reach(self, position: int, timeout: float) -> None:
        """Return at once: the store has every position that it ever had; see ``StorePosition.reach``."""
