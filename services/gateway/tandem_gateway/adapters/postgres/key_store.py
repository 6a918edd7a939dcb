"""API keys in the database, and the secret of their hashes beside them: all gateways have the same."""

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from tandem_gateway.adapters.key_rows import COLUMNS, key_of, row_of
from tandem_gateway.adapters.postgres.connection import Connection, translated
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection
from tandem_gateway.ports.keys import MAX_CALLERS, MAX_KEYS, MAX_REVOKED, OTHERS, too_many_keys
from tandem_gateway.records.access import ApiKey, KeyTable, Usage, UsageKey

_SECRET_BYTES: Final = 32
_CHANGED: Final = "WITH changed AS (UPDATE access SET version = version + 1)"


class PostgresKeyStore:
    """The ``KeyStore`` of a database with the schema of this release; each call is one transaction or a read."""

    def __init__(self, url: str, *, prepared: bool = True) -> None:
        """Make the store; it connects with the first call.

        Args:
            url: a connection string of libpq.
            prepared: see ``connect``.
        """
        self._lock = threading.Lock()
        self._kept = KeptConnection(url, prepared=prepared)

    def table(self) -> KeyTable:
        """Return all keys."""
        with self._connection() as connection:
            rows = connection.execute(
                f"SELECT a.enabled, {COLUMNS} FROM access a LEFT JOIN keys ON true ORDER BY number"
            ).fetchall()
        return KeyTable(rows[0][0], [key_of(row[1:]) for row in rows if row[1] is not None])

    def secret(self) -> bytes:
        """Return the secret."""
        with self._connection() as connection:
            row = connection.execute(
                "UPDATE access SET secret = coalesce(secret, %b) RETURNING secret",
                (secrets.token_bytes(_SECRET_BYTES),),
            ).fetchone()
        assert row is not None
        return bytes(row[0])

    def version(self) -> int:
        """Return a number that grows with each change of a key."""
        with self._connection() as connection:
            row = connection.execute("SELECT version FROM access").fetchone()
        assert row is not None
        return int(row[0])

    def add(self, key: ApiKey) -> None:
        """Add a key."""
        marks = ", ".join(["%s"] * len(row_of(key)))
        with self._connection() as connection:
            added = connection.execute(
                "WITH changed AS (UPDATE access SET version = version + 1, enabled = true WHERE "
                "(SELECT count(*) FROM keys WHERE revoked_at IS NULL) < %s RETURNING 1) "
                f"INSERT INTO keys ({COLUMNS}) SELECT {marks} FROM changed",
                (MAX_KEYS, *row_of(key)),
            )
            if added.rowcount == 0:
                raise too_many_keys()

    def rotate(self, key_id: str, digest: bytes, previous_until: float) -> ApiKey | None:
        """Replace a key's digest."""
        return self._change(
            f"{_CHANGED} UPDATE keys SET previous_digest = digest, digest = %s, previous_until = %s "
            "WHERE id = %s AND revoked_at IS NULL",
            (digest, previous_until, key_id),
        )

    def revoke(self, key_id: str, at: float) -> ApiKey | None:
        """Revoke a key."""
        changed = self._change(
            f"{_CHANGED} UPDATE keys SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s", (at, key_id)
        )
        with self._connection() as connection:
            connection.execute(
                "DELETE FROM keys WHERE number IN (SELECT number FROM keys WHERE revoked_at IS NOT NULL "
                "ORDER BY revoked_at DESC, number DESC OFFSET %s)",
                (MAX_REVOKED,),
            )
        return changed

    def record_uses(self, last_used: Mapping[str, float]) -> None:
        """Record uses."""
        if last_used:
            with self._connection() as connection:
                connection.execute(
                    "UPDATE keys k SET last_used_at = greatest(k.last_used_at, u.at) "
                    "FROM unnest(%s::text[], %s::float8[]) AS u(id, at) WHERE k.id = u.id",
                    (list(last_used), list(last_used.values())),
                )

    def add_usage(self, used: Mapping[UsageKey, Usage]) -> None:
        """Add to the usage."""
        columns = [[day for day, _ in used], [caller for _, caller in used]]
        columns += [[getattr(each, name) for each in used.values()] for name in ("requests", "tokens", "documents")]
        with self._connection() as connection:
            connection.execute(
                "SELECT add_usage_v1(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s, %s)",
                (*columns, MAX_CALLERS, OTHERS),
            )

    def usage(
        self, first: int, last: int, caller: str | None = None, limit: int = MAX_CALLERS + 1
    ) -> dict[UsageKey, Usage]:
        """Return the usage of some days."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT day, caller, requests, tokens, documents FROM usage WHERE day BETWEEN %(first)s AND %(last)s "
                "AND (%(caller)s::text IS NULL OR caller = %(caller)s) ORDER BY day, caller LIMIT %(limit)s",
                {"first": first, "last": last, "caller": caller, "limit": limit},
            ).fetchall()
        return {(day, name): Usage(*counts) for day, name, *counts in rows}

    def forget_usage(self, before: int) -> None:
        """Forget the usage of early days."""
        with self._connection() as connection:
            connection.execute("DELETE FROM usage WHERE day < %s", (before,))

    def switch(self, on: bool) -> None:
        """Switch access control on or off."""
        with self._connection() as connection:
            connection.execute("UPDATE access SET version = version + 1, enabled = %s", (on,))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._kept.close()

    def _change(self, statement: str, values: tuple[Any, ...]) -> ApiKey | None:
        with self._connection() as connection:
            row = connection.execute(f"{statement} RETURNING {COLUMNS}", values).fetchone()
        return key_of(row) if row is not None else None

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._lock, translated():
            yield self._kept.usable()
