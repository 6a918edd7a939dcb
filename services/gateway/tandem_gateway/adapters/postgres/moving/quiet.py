"""Finds out whether anybody uses a database."""

import time
from collections.abc import Callable
from typing import Final

from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.errors import StorageInUse

# A gateway looks for commits ten times a second. An idle connection, such as one that PgBouncer keeps, is not in use.
_USED: Final = """
SELECT coalesce(string_agg(DISTINCT application_name || ' (process ' || pid || ')', ', '), '') FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND (state IS DISTINCT FROM 'idle' OR state_change > clock_timestamp() - interval '1 second')
"""
_PATIENCE_SECONDS: Final = 3.0


def refuse_used(connection: Connection, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait a moment until nobody has used the database for a second.

    Raises:
        StorageInUse: somebody goes on using it.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        row = connection.execute(_USED).fetchone()
        if row == ("",):
            return
        if time.monotonic() >= until:
            raise StorageInUse(f"the database is in use by {row[0] if row else '?'}: stop all its gateways first")
        sleep(0.1)
