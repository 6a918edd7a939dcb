"""The migrations: numbered SQL scripts. Script N upgrades a store from schema version N - 1 to version N.

A released script never changes. Each runs in a transaction of its own. One gateway at a time runs them, under a lock of
the database; the others wait and find the work done. A gateway does not start on a store of a later release.
"""

from importlib import resources
from typing import Final

from psycopg import sql

from tandem_gateway.adapters.postgres.connection import connect, translated
from tandem_gateway.errors import StorageUnavailable

_LOCK: Final = 0x54_4E_44_4D  # "TNDM"
_LOCK_TIMEOUT: Final = "30s"


def _scripts() -> tuple[str, ...]:
    files = sorted(each.name for each in resources.files(__name__).iterdir() if each.name.endswith(".sql"))
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1)), files
    return tuple(resources.files(__name__).joinpath(name).read_text("utf-8") for name in files)


SCRIPTS: Final = _scripts()
"""The scripts in order; the first one upgrades an empty database to version 1."""
VERSION: Final = len(SCRIPTS)
"""The schema version that this release reads and writes."""


def migrate(url: str) -> int:
    """Bring the database's schema to this release's version, and return how many scripts ran; blocks.

    Raises:
        StorageUnavailable: the database cannot be reached, or has the schema of a later release.
    """
    with translated(), connect(url, prepared=False) as connection:
        ran = 0
        while True:
            with connection.transaction():
                # A lock of the transaction, because a lock of the session does not work through PgBouncer.
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK_TIMEOUT))
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY)")
                row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
                assert row is not None
                (version,) = row
                if version > VERSION:
                    raise StorageUnavailable(
                        f"the database has the schema {version} of a later release, and this one knows {VERSION}"
                    )
                if version == VERSION:
                    return ran
                connection.execute(SCRIPTS[version].encode())
                connection.execute("INSERT INTO schema_version VALUES (%s)", (version + 1,))
                ran += 1
