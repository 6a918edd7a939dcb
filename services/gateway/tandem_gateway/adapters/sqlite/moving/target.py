"""A new store in SQLite as the target of a move."""

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.adapters.limits import LIST_ENTRY_BYTES
from tandem_gateway.adapters.moving.digests import Row
from tandem_gateway.adapters.moving.tables import ACCESS, DOCUMENTS, JOB_LISTS, SPACES, STORE, Table
from tandem_gateway.adapters.sqlite import (
    catalogue,
    check,
    commit_watermark,
    counters,
    key_secret,
    key_tables,
    migrations,
    schema,
)
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, translated
from tandem_gateway.adapters.sqlite.key_store import FILE_NAME as KEYS_NAME
from tandem_gateway.adapters.sqlite.moving.rows import OF_KEYS, SqliteRows
from tandem_gateway.adapters.sqlite.schema import sealed_insert

_PAGE_KIB: Final = 32_000
_COUNTERS: Final = ("commit", "change", "passage", "catalogue", "document", "collection", "space")
# Further columns of ``sealed_insert``. The triggers of the schema count the documents of collections.
_UNSEALED: Final = {DOCUMENTS.name: ("live",), JOB_LISTS.name: ("list_id",)}

_encode: Final = msgspec.msgpack.Encoder().encode


class SqliteTarget:
    """A store of two databases that nobody else has open; a failed move leaves nothing of worth in them."""

    def __init__(self, folder: Path) -> None:
        """Create the databases in an empty folder."""
        self._folder = folder
        self._path = folder / FILE_NAME
        self._secret: bytes | None = None
        self._store = _create(self._path)
        self._keys = _create(folder / KEYS_NAME)
        self._store.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
        for version in range(1, migrations.VERSION + 1):
            migrations.run(self._store, version)
        self.store_id = secrets.token_hex(16)
        """The id of the new store."""
        self._store.execute(sealed_insert("identity"), {"store_id": self.store_id})
        key_tables.prepare(self._keys, had_keys=False)

    def load(self, table: Table, rows: Iterable[Row]) -> None:
        """Store the rows of a table."""
        connection = self._keys if table.name in OF_KEYS else self._store
        with translated(self._path), _writing(connection):
            if table is STORE:
                for row in rows:
                    for name, value in zip(_COUNTERS, row, strict=True):
                        counters.set_value(connection, name, value)
            elif table is ACCESS:
                for enabled, secret in rows:
                    self._secret = secret
                    connection.execute("UPDATE access SET enabled = ?", (enabled,))
            elif table.name in OF_KEYS:
                names = ", ".join(table.columns)
                connection.executemany(
                    f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(table.columns))})", rows
                )
            else:
                self._load(table, rows)

    def complete(self) -> None:
        """Check the store as a start of the gateway does.

        Raises:
            StorageCorrupt: it is not sound.
        """
        with translated(self._path):
            check.check(self._store, self._path)

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table."""
        return SqliteRows(self._store, self._keys, self._secret, renumber=False).rows(table)

    def close(self) -> None:
        """Close the databases."""
        self._store.close()
        self._keys.close()

    def save(self) -> None:
        """Write everything to the disk, with the files that belong to the databases, and close them."""
        commit = counters.value(self._store, "commit")
        used = any(self._keys.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in ("keys", "usage"))
        (enabled,) = self._keys.execute("SELECT enabled FROM access").fetchone()
        self.close()
        sync(self._path)
        if used or enabled or self._secret is not None:
            sync(self._folder / KEYS_NAME)
        else:  # a file without keys says no more than none
            (self._folder / KEYS_NAME).unlink()
        if self._secret is not None:
            key_secret.write(self._folder / key_secret.FILE_NAME, self._secret)
        commit_watermark.create_mark(self._folder / commit_watermark.FILE_NAME, commit)

    def _load(self, table: Table, rows: Iterable[Row]) -> None:
        given: Iterable[dict[str, Any]] = (dict(zip(table.columns, row, strict=True)) for row in rows)
        after = {DOCUMENTS.name: self._add_parts, SPACES.name: self._add_truncated}.get(table.name)
        if after is not None:
            given = _with(after, given)
        if table is JOB_LISTS:
            given = map(_encoded, given)
        self._store.executemany(sealed_insert(table.name, *_UNSEALED.get(table.name, ())), given)

    def _add_parts(self, row: dict[str, Any]) -> None:
        if row["format"] != "text":
            self._store.execute(sealed_insert("document_formats"), row)
        if row["source"] is not None:
            self._store.execute(sealed_insert("document_sources"), row)

    def _add_truncated(self, row: dict[str, Any]) -> None:
        if row["truncated"] or row["state"] == "filling":
            counters.set_value(self._store, catalogue.truncated_in(row["space_id"]), row["truncated"])


def _with(act: Callable[[dict[str, Any]], None], rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        act(row)
        yield row


def _encoded(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a list of documents as the store has it; see ``job_documents``."""
    entries = [
        (doc_id, number if number is not None else status, *(() if reason is None else (reason,)))
        for doc_id, number, status, reason in row["entries"]
    ]
    encoded = _encode(entries)
    return {**row, "entries": encoded, "bytes": len(encoded) + LIST_ENTRY_BYTES * len(entries)}


def _create(path: Path) -> sqlite3.Connection:
    """Create a database without a journal: a failed move begins with a new one."""
    with translated(path):
        path.touch(mode=0o600, exist_ok=False)
        connection = sqlite3.connect(path, isolation_level=None)
        schema.register(connection)
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA foreign_keys=OFF")  # the check looks at all of them
        connection.execute(f"PRAGMA cache_size=-{_PAGE_KIB}")
        return connection


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    yield  # without a journal, nothing can be rolled back
    connection.execute("COMMIT")
