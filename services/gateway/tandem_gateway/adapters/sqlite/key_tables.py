"""The tables of API keys in ``access.db``: their format and its upgrades."""

import sqlite3
from pathlib import Path
from typing import Final

from tandem_gateway.adapters.sqlite import usage
from tandem_gateway.errors import StorageUnavailable

VERSION: Final = 2
"""The format that this release writes, in ``PRAGMA user_version``."""
_SCHEMA: Final = (
    "CREATE TABLE access (one INTEGER PRIMARY KEY CHECK (one = 1), enabled INTEGER NOT NULL) STRICT",
    "CREATE TABLE keys (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, role TEXT NOT NULL, "
    "collections TEXT NOT NULL, digest BLOB NOT NULL, created_at REAL NOT NULL, expires_at REAL, filter TEXT, "
    "revoked_at REAL, last_used_at REAL, previous_digest BLOB, previous_until REAL NOT NULL) STRICT",
    "PRAGMA user_version = 1",
)
_UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "ALTER TABLE keys ADD COLUMN limits TEXT",
        usage.TABLE,
        "PRAGMA user_version = 2",
    ),
}
"""Format → the statements that make the next one of it."""


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Check that this release knows the tables of a file; a file without tables is fine.

    Raises:
        StorageUnavailable: the tables are those of a newer release.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StorageUnavailable(
            "the API keys are those of a newer release",
            detail=f"{path} has the format {version} of a newer release, and this one knows {VERSION}: "
            "run that release, or put back a backup",
        )


def prepare(connection: sqlite3.Connection, *, had_keys: bool) -> None:
    """Make the tables if there are none, or upgrade those of an earlier release.

    Args:
        connection: writable, outside of a transaction.
        had_keys: whether new tables switch access control on, because the keys were lost.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have made or upgraded the tables meanwhile.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for step in range(version, VERSION):
            for statement in _UPGRADES.get(step, _SCHEMA):
                connection.execute(statement)
            if step == 0:
                connection.execute("INSERT INTO access VALUES (1, ?)", (int(had_keys),))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
