"""The tables of ``access.db``, in each of their formats."""

from typing import Final

from tandem_gateway.adapters.sqlite import usage

VERSION: Final = 2
"""The format that this release writes, in ``PRAGMA user_version``."""
SCHEMA: Final = (
    "CREATE TABLE access (one INTEGER PRIMARY KEY CHECK (one = 1), enabled INTEGER NOT NULL) STRICT",
    "CREATE TABLE keys (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, role TEXT NOT NULL, "
    "collections TEXT NOT NULL, digest BLOB NOT NULL, created_at REAL NOT NULL, expires_at REAL, filter TEXT, "
    "revoked_at REAL, last_used_at REAL, previous_digest BLOB, previous_until REAL NOT NULL) STRICT",
    "PRAGMA user_version = 1",
)
UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "ALTER TABLE keys ADD COLUMN limits TEXT",
        usage.TABLE,
        "PRAGMA user_version = 2",
    ),
}
"""Format → the statements that make the next one of it."""
