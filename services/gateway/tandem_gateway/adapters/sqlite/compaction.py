"""Rewrites the database of a stopped gateway, so that it has no unused space and no remains of deleted rows."""

import os
import sqlite3
import time
from pathlib import Path

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.adapters.sqlite import counters, purge
from tandem_gateway.adapters.sqlite.connection import translated


def compact(connection: sqlite3.Connection, path: Path) -> None:
    """Remove what is left of deleted collections, and rewrite the database.

    SQLite writes the new database to a temporary file first, beside the old one, and then over it, in one transaction.

    Args:
        connection: the only one to the store, writable, in autocommit mode.
        path: of the database.

    Raises:
        StorageUnavailable: if there is not enough free space. The store is unchanged, but for deleted collections.
    """
    # A temporary file elsewhere could be on a small file system, or readable by other users.
    os.environ["SQLITE_TMPDIR"] = str(path.parent)
    with translated(path):
        while purge.is_due(connection):
            connection.execute("BEGIN IMMEDIATE")
            purge.step(connection, time.time())
            counters.next_number(connection, "commit")
            connection.execute("COMMIT")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sync(path)
