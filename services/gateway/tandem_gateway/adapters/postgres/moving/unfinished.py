"""Refuses a database that a move writes or reads, or into which a move has not ended."""

from typing import Final

from tandem_gateway.adapters.postgres.connection import Connection, connect, translated
from tandem_gateway.errors import StorageInUse, StorageUnavailable

LOCK: Final = 0x54_4E_44_4D_4F_56_45  # "TNDMOVE"
"""Number of the lock that a move holds."""


def refuse_unfinished(url: str) -> None:
    """Check that no move of the database is running or unfinished; its schema is that of this release.

    Raises:
        StorageInUse: one is running.
        StorageUnavailable: one is unfinished, or the database cannot be reached.
    """
    with translated(), connect(url, prepared=False) as connection:
        # The statement takes the lock and releases it with its own transaction.
        row = connection.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", (LOCK,)).fetchone()
        if row != (True,):
            raise StorageInUse(
                "a move of the database is running: wait until `python -m tandem_gateway move` has ended"
            )
        refuse_marked(connection)


def refuse_marked(connection: Connection) -> None:
    """Check that no move into the database is unfinished.

    Raises:
        StorageUnavailable: one is.
    """
    if connection.execute("SELECT 1 FROM moved WHERE finished_at IS NULL").fetchone() is not None:
        raise StorageUnavailable(
            "a move into the database has not ended: run `python -m tandem_gateway move --to postgres` again, or give "
            "it up by adding --discard"
        )


def discard(url: str) -> bool:
    """Forget an unfinished move, of which the database has nothing; return whether there was one."""
    with translated(), connect(url, prepared=False) as connection:
        done = connection.execute("DELETE FROM moved WHERE finished_at IS NULL")
        return done.rowcount > 0
