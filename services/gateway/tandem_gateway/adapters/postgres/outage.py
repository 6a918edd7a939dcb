"""Remembers that a server cannot be reached, so that not every caller waits for it.

For the first seconds, callers try again: the server restarts, or another takes over. After them, one attempt in a while
finds out whether it is back, and all others fail at once. Callers that wait in one queue would else wait for the sum.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg

from tandem_gateway.adapters.postgres.connection import Connection, connect

GRACE_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 0.5


class Outage:
    """The times at which a server could not be reached; any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a server that can be reached; ``clock`` returns seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._next = 0.0
        self._reason = ""

    @property
    def is_known(self) -> bool:
        """Whether it lasts so long that callers need not try again."""
        with self._lock:
            return self._since is not None and self._clock() - self._since >= GRACE_SECONDS

    def connect(self, url: str, *, prepared: bool) -> Connection:
        """Connect; see ``connection.connect``.

        Raises:
            psycopg.Error: the server cannot be reached, or could not a moment ago.
        """
        started = self._clock()
        with self._lock:
            known = self._since is not None and started - self._since >= GRACE_SECONDS
            if known and started < self._next:
                raise psycopg.OperationalError(self._reason)
        try:
            made = connect(url, prepared=prepared)
        except psycopg.Error as error:
            with self._lock:
                self._since = started if self._since is None else self._since
                self._next = self._clock() + PAUSE_SECONDS
                self._reason = str(error)
            raise
        with self._lock:
            self._since = None
        return made
