"""Elects the gateway that does a piece of work for all, in a table of the database."""

import secrets

from tandem_gateway.adapters.postgres.connection import translated
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection


class PostgresLeadership:
    """Implements ``Leadership``; only one thread may use it."""

    def __init__(self, url: str, *, prepared: bool = True) -> None:
        """Make an owner of work; see ``connect`` for the arguments."""
        self._kept = KeptConnection(url, prepared=prepared)
        self._owner = secrets.token_hex(8)

    def take(self, name: str, seconds: float) -> bool:
        """Take the work, or go on with it; see ``Leadership.take``."""
        with translated():
            values = (name, self._owner, seconds)
            row = self._kept.usable().execute("SELECT lead_term_v1(%s, %s, %s)", values).fetchone()
        return row is not None and row[0] is not None

    def give_back(self, name: str) -> None:
        """Let another process take the work; see ``Leadership.give_back``."""
        with translated():
            self._kept.usable().execute("SELECT resign_v1(%s, %s)", (name, self._owner))

    def close(self) -> None:
        """Close the connection."""
        self._kept.close()
