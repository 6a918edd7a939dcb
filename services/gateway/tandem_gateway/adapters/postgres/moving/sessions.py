"""The one transaction of a move in a database: as the source, and as the target."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from psycopg import errors, sql

from tandem_gateway.adapters.moving.tables import IN_POSTGRES
from tandem_gateway.adapters.postgres import migrations
from tandem_gateway.adapters.postgres.connection import Connection, connect, translated
from tandem_gateway.adapters.postgres.moving.quiet import refuse_used
from tandem_gateway.adapters.postgres.moving.rows import PostgresRows
from tandem_gateway.adapters.postgres.moving.target import PostgresTarget
from tandem_gateway.adapters.postgres.moving.unfinished import LOCK, refuse_marked
from tandem_gateway.errors import StorageInUse, StorageUnavailable

_LOCK_TIMEOUT: Final = "10s"
# What would end a long transaction. A server has not all of them.
_NO_TIMEOUTS: Final = """
SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN
  ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""
_FOUND: Final = """
SELECT (SELECT count(*) FROM collections WHERE name <> 'default' OR chunking IS DISTINCT FROM '{}' OR
          language <> 'english' OR last_document > 0),
       (SELECT count(*) FROM jobs), (SELECT count(*) FROM keys),
       (SELECT last_passage + last_change FROM store), (SELECT enabled::integer FROM access)
"""


@contextmanager
def open_source(url: str) -> Iterator[tuple[PostgresRows, str]]:
    """Yield the rows of a store and its id; meanwhile nobody can write to it.

    Raises:
        StorageInUse: somebody uses it.
        StorageUnavailable: it is no whole store, or cannot be reached.
    """
    with translated(), connect(url, prepared=False, patient=True) as connection:
        refuse_used(connection)
        _require_store(connection)
        migrations.migrate(url)
        refuse_marked(connection)
        with connection.transaction():
            _lock(connection, "SHARE")
            row = connection.execute("SELECT store_id FROM store").fetchone()
            assert row is not None
            yield PostgresRows(connection, renumber=True), row[0]


@contextmanager
def open_target(url: str, origin: str) -> Iterator[PostgresTarget]:
    """Yield an empty store; it is what was loaded if the body ends, and stays empty if not.

    From before the body until its good end, no gateway opens the store.

    Args:
        url: of the database.
        origin: the id of the store that comes.

    Raises:
        StorageInUse: somebody uses the database.
        StorageUnavailable: it is not empty, or cannot be reached.
    """
    with translated(), connect(url, prepared=False, patient=True) as connection:
        refuse_used(connection)
        migrations.migrate(url)
        with connection.transaction():
            _lock(connection, "EXCLUSIVE")
            _require_empty(connection)
            connection.execute("DELETE FROM moved")
            connection.execute("INSERT INTO moved (origin) VALUES (%s)", (origin,))
        with connection.transaction():
            _lock(connection, "EXCLUSIVE")
            _require_empty(connection)
            target = PostgresTarget(connection)
            yield target
            target.finish()


def _lock(connection: Connection, mode: str) -> None:
    """Keep others from writing until the end of the transaction.

    Raises:
        StorageInUse: somebody writes, or another move is running.
    """
    connection.execute(_NO_TIMEOUTS)
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK_TIMEOUT))
    try:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        names = sql.SQL(", ").join(
            sql.Identifier(name) for name in IN_POSTGRES if name not in ("schema_version", "moved")
        )
        connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(names, sql.SQL(mode)))
    except errors.LockNotAvailable:
        raise StorageInUse("the database is in use by a gateway or by another move: stop it first") from None


def _require_store(connection: Connection) -> None:
    if connection.execute("SELECT to_regclass('schema_version')").fetchone() == (None,):
        raise StorageUnavailable("the database holds no store: it has no table schema_version")


def _require_empty(connection: Connection) -> None:
    row = connection.execute(_FOUND).fetchone()
    assert row is not None
    if any(row):
        collections, jobs, keys, *_ = row
        raise StorageUnavailable(
            f"the database is not empty: it holds a store with {collections} collections, {jobs} jobs and {keys} API "
            "keys; a move needs an empty database"
        )
