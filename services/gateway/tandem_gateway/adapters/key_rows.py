"""The row of an API key, in every store of keys."""

import json
from typing import Any, Final

from tandem_gateway.records.access import ApiKey
from tandem_gateway.records.limits import parse_limits

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
