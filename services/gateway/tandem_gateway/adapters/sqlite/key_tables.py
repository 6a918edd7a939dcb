"""The tables of ``access.db``: their formats, and the row of an API key."""

import json
from typing import Any, Final

from tandem_gateway.adapters.sqlite import usage
from tandem_gateway.records.access import ApiKey
from tandem_gateway.records.limits import parse_limits

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
COLUMNS: Final = (
    "id, name, role, collections, digest, created_at, expires_at, filter, revoked_at, last_used_at, previous_digest, "
    "previous_until, limits"
)


def row_of(key: ApiKey) -> tuple[Any, ...]:
    """Return the values of a key's row, in the order of ``COLUMNS``."""
    return (
        key.id, key.name, key.role, json.dumps(key.collections), key.digest, key.created_at, key.expires_at, key.filter,
        key.revoked_at, key.last_used_at, key.previous_digest, key.previous_until,
        None if key.limits is None else json.dumps([str(limit) for limit in key.limits]),
    )  # fmt: skip


def key_of(row: tuple[Any, ...]) -> ApiKey:
    """Return the key of a row with the values of ``COLUMNS``."""
    (
        key_id,
        name,
        role,
        collections,
        digest,
        created_at,
        expires_at,
        conditions,
        revoked_at,
        last_used_at,
        old,
        until,
        limits,
    ) = row
    return ApiKey(
        id=key_id,
        name=name,
        role=role,
        collections=tuple(json.loads(collections)),
        digest=digest,
        created_at=created_at,
        expires_at=expires_at,
        filter=conditions,
        revoked_at=revoked_at,
        last_used_at=last_used_at,
        previous_digest=old,
        previous_until=until,
        limits=None if limits is None else parse_limits(json.loads(limits)),
    )
