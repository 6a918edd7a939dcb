"""Elects the gateway that does a piece of work for all, in a table of the database."""

import secrets

from tandem_gateway.adapters.postgres.connection import Connection, translated
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection


def lead(connection: Connection, work: str, owner: str, seconds: float) -> int | None:
    """Take some work for some seconds, or go on with it.

    Returns:
        The term, which grows with each change of the owner; None if another owner does the work.
    """
    row = connection.execute("SELECT lead_term_v1(%s, %s, %s)", (work, owner, seconds)).fetchone()
    return row[0] if row is not None else None


def resign(connection: Connection, work: str, owner: str) -> None:
    """Let another owner take some work."""
    connection.execute("SELECT resign_v1(%s, %s)", (work, owner))


class PostgresLeadership:
    """Implements ``Leadership``; only one thread may use it."""

    def __init__(self, url: str, *, prepared: bool = True) -> None:
        """Make an owner of work; see ``connect`` for the arguments."""
        self._kept = KeptConnection(url, prepared=prepared)
        self._owner = secrets.token_hex(8)

    def take(self, name: str, seconds: float) -> bool:
        """Take the work, or go on with it; see ``Leadership.take``."""
        with translated():
            return lead(self._kept.usable(), name, self._owner, seconds) is not None

    def give_back(self, name: str) -> None:
        """Let another process take the work; see ``Leadership.give_back``."""
        with translated():
            resign(self._kept.usable(), name, self._owner)

    def close(self) -> None:
        """Close the connection."""
        self._kept.close()
