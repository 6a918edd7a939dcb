"""A connection of one thread, which is made again after the server has ended it."""

import time
from typing import Final

import psycopg

from tandem_gateway.adapters.postgres.connection import Connection, is_lost, is_usable
from tandem_gateway.adapters.postgres.outage import Outage

_PAUSE_SECONDS: Final = 0.05


class KeptConnection:
    """Connects with the first use. One thread at a time may use it."""

    def __init__(self, url: str, *, prepared: bool = True) -> None:
        """Keep a connection to ``url``; see ``connect``."""
        self.url = url
        self._prepared = prepared
        self._connection: Connection | None = None
        self._outage = Outage()

    def usable(self) -> Connection:
        """Return the connection; a new one if the server has ended it.

        Raises:
            psycopg.Error: the server cannot be reached for some seconds. During an outage that lasts, at once.
        """
        if self._connection is not None:
            if is_usable(self._connection):
                return self._connection
            self._connection.close()
        while True:
            try:
                self._connection = self._outage.connect(self.url, prepared=self._prepared)
            except psycopg.Error as error:
                if not is_lost(error) or self._outage.is_known:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return self._connection

    def has(self, connection: Connection) -> bool:
        """Return whether a connection that ``usable`` returned is still the one, and open; takes some microseconds."""
        return connection is self._connection and is_usable(connection)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
