"""What a gateway knows of the position of a store that others change, too. The position is the number of commits."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.history import Commit
from tandem_gateway.errors import DeadlineExceeded, NotReady
from tandem_gateway.records.search import Consistency
from tandem_runtime.durations import duration

BOUND_SECONDS: Final = 1.0
"""Maximum age of the state that answers a search with bounded staleness; older, and the search asks the store."""
_LOOK_SECONDS: Final = 0.05
_LAST: Final = "SELECT store_id, commits FROM store"


class PostgresPosition:
    """Implements ``StorePosition``. Whatever reads or writes the store notes the position that it saw at its end."""

    def __init__(
        self, check: Callable[[float], Awaitable[Commit | None]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Know nothing yet.

        Args:
            check: asks the store for its last commit; see ``PositionCheck.ask``.
            clock: in seconds; never goes back.
        """
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._store_id = ""
        self._last = 0
        self._watched: tuple[int, float] | None = None

    @property
    def store_id(self) -> str:
        """The store's random id; empty before the first call of the store."""
        return self._store_id

    @property
    def last(self) -> int:
        """The last position that is known; see ``StorePosition.last``."""
        return self._last

    def note(self, store_id: str, number: int) -> None:
        """Record a position that the store has; any thread may call it."""
        with self._lock:
            self._store_id = store_id
            self._last = max(self._last, number)

    def note_from(self, connection: Connection) -> None:
        """Ask the store for its position, and record it."""
        row = connection.execute(_LAST).fetchone()
        assert row is not None
        self.note(*row)

    def watched(self, number: int, at: float) -> None:
        """Record the position that the store had at a time of the clock, or later."""
        self._watched = number, at

    def wanted(self, consistency: Consistency, after: int | None) -> int | None:
        """Return the position that a search needs; see ``StorePosition.wanted``.

        Bounded staleness needs the position that the watch saw last. If that was too long ago, the search asks the
        store.
        """
        if consistency == "session":
            return self._last if after is None else after
        if consistency == "bounded" and self._watched is not None:
            number, at = self._watched
            return number if self._clock() - at <= BOUND_SECONDS else None
        return None

    async def ask(self, timeout: float) -> int | None:
        """Ask the store for its position; see ``StorePosition.ask``."""
        commit = await self._check(timeout)
        if commit is None:
            return None
        self.note(commit.store_id, commit.number)
        return commit.number

    async def reach(self, position: int, timeout: float) -> None:
        """Wait until the store is known to have a position; see ``StorePosition.reach``.

        The store had it when the client learnt it, so that one look is usually enough.
        """
        if self._last >= position:
            return
        try:
            async with asyncio.timeout(timeout):
                await self.ask(timeout)
                while self._last < position:  # noqa: ASYNC110 - threads note positions
                    await asyncio.sleep(_LOOK_SECONDS)
        except (TimeoutError, DeadlineExceeded):
            raise NotReady(
                f"x-tandem-position: the store has {self._last} commits and not yet {position}, after "
                f"{duration(timeout)}; if it was restored from a backup, send the search without the header"
            ) from None
