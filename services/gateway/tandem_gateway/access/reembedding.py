"""The re-embedding of a caller's collections: it needs the role ``admin``."""

from tandem_gateway.access.principal import Principal, check_use
from tandem_gateway.use_cases.reembedding import Overlap, Progress, Reembed


class GuardedReembed:
    """``Reembed`` for one caller. Each method also raises Forbidden."""

    __slots__ = ("_principal", "_reembed")

    def __init__(self, reembed: Reembed, principal: Principal) -> None:
        self._reembed = reembed
        self._principal = principal

    async def start(self, collection: str) -> Progress:
        """Begin; see ``Reembed.start``."""
        check_use(self._principal, "admin", collection)
        return await self._reembed.start(collection)

    async def progress(self, collection: str) -> Progress:
        """Return the progress; see ``Reembed.progress``."""
        check_use(self._principal, "admin", collection)
        return await self._reembed.progress(collection)

    async def switch(self, collection: str, *, back: bool = False) -> Progress:
        """Switch; see ``Reembed.switch``."""
        check_use(self._principal, "admin", collection)
        return await self._reembed.switch(collection, back=back)

    async def drop(self, collection: str) -> bool:
        """Drop the vectors that do not serve; see ``Reembed.drop``."""
        check_use(self._principal, "admin", collection)
        return await self._reembed.drop(collection)

    async def overlap(self, collection: str, queries: int) -> Overlap:
        """Compare both spaces; see ``Reembed.overlap``."""
        check_use(self._principal, "admin", collection)
        return await self._reembed.overlap(collection, queries)
