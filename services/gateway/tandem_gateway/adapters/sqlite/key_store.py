"""The ``KeyStore`` on ``access.db``, a database of its own; ``key_secret`` has the secret in the file beside it.

The command line changes the keys while a gateway runs, so both open this file, and none of them locks the data
directory for it. The file appears with the first key. Both files are readable by their owner alone.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.adapters.key_rows import COLUMNS, key_of, row_of
from tandem_gateway.adapters.sqlite import key_secret, key_tables, usage
from tandem_gateway.adapters.sqlite.connection import translated
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.ports.keys import MAX_CALLERS, MAX_KEYS, MAX_REVOKED, too_many_keys
from tandem_gateway.records.access import ApiKey, KeyTable, Usage, UsageKey

FILE_NAME: Final = "access.db"
SECRET_NAME: Final = key_secret.FILE_NAME

_BUSY_TIMEOUT_SECONDS: Final = 10.0
_PAGE_KIB: Final = 64


class SqliteKeyStore:
    """The ``KeyStore`` of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Make the store; it opens the file when it is there, or with the first change.

        Args:
            data_dir: the data directory; the first change creates it.
        """
        self._path = data_dir / FILE_NAME
        self._secret_path = data_dir / SECRET_NAME
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def table(self) -> KeyTable:
        """Return all keys."""
        with self._lock, translated(self._path):
            connection = self._open(create=False)
            if connection is None:
                return KeyTable(key_secret.exists(self._secret_path), [])
            connection.execute("BEGIN")
            try:
                (enabled,) = connection.execute("SELECT enabled FROM access").fetchone()
                rows = connection.execute(f"SELECT {COLUMNS} FROM keys ORDER BY number").fetchall()
            finally:
                connection.execute("COMMIT")
            return KeyTable(bool(enabled), [key_of(row) for row in rows])

    def secret(self) -> bytes:
        """Return the secret."""
        with self._lock:
            found = key_secret.read(self._secret_path)
            if found is not None:
                return found
            if self.table().keys:
                raise StorageUnavailable(
                    "the secret of the API keys is lost",
                    detail=f"{self._secret_path} is missing, so no key of {self._path} can work: put it back from "
                    f"a backup, or remove {self._path} and make new keys",
                )
            return key_secret.make(self._secret_path)

    def version(self) -> int:
        """Return SQLite's ``data_version``; 0 before the file exists."""
        with self._lock, translated(self._path):
            connection = self._open(create=False)
            if connection is None:
                return 0
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    def add(self, key: ApiKey) -> None:
        """Add a key."""
        with self._change() as connection:
            (count,) = connection.execute("SELECT count(*) FROM keys WHERE revoked_at IS NULL").fetchone()
            if count >= MAX_KEYS:
                raise too_many_keys()
            marks = ", ".join("?" * len(row_of(key)))
            connection.execute(f"INSERT INTO keys ({COLUMNS}) VALUES ({marks})", row_of(key))
            connection.execute("UPDATE access SET enabled = 1")

    def rotate(self, key_id: str, digest: bytes, previous_until: float) -> ApiKey | None:
        """Replace a key's digest."""
        return self._update(
            key_id,
            "UPDATE keys SET previous_digest = digest, digest = ?, previous_until = ? "
            "WHERE id = ? AND revoked_at IS NULL",
            (digest, previous_until, key_id),
        )

    def revoke(self, key_id: str, at: float) -> ApiKey | None:
        """Revoke a key."""
        changed = self._update(
            key_id, "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (at, key_id)
        )
        with self._change() as connection:
            connection.execute(
                "DELETE FROM keys WHERE number IN (SELECT number FROM keys WHERE revoked_at IS NOT NULL "
                "ORDER BY revoked_at DESC, number DESC LIMIT -1 OFFSET ?)",
                (MAX_REVOKED,),
            )
        return changed

    def record_uses(self, last_used: Mapping[str, float]) -> None:
        """Record uses."""
        if last_used:
            with self._change() as connection:
                connection.executemany(
                    "UPDATE keys SET last_used_at = ? WHERE id = ?", [(at, key_id) for key_id, at in last_used.items()]
                )

    def add_usage(self, used: Mapping[UsageKey, Usage]) -> None:
        """Add to the usage."""
        with self._change() as connection:
            usage.add(connection, used)

    def usage(
        self, first: int, last: int, caller: str | None = None, limit: int = MAX_CALLERS + 1
    ) -> dict[UsageKey, Usage]:
        """Return the usage of some days."""
        with self._lock, translated(self._path):
            connection = self._open(create=False)
            return {} if connection is None else usage.read(connection, first, last, caller, limit)

    def forget_usage(self, before: int) -> None:
        """Forget the usage of early days."""
        with self._change() as connection:
            usage.forget(connection, before)

    def switch(self, on: bool) -> None:
        """Switch access control on or off."""
        with self._change() as connection:
            connection.execute("UPDATE access SET enabled = ?", (int(on),))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def back_up(self, target: Path, secret_target: Path) -> int:
        """Copy the keys and their secret to new files, and return the number of keys; see ``backup.back_up``.

        Raises:
            StorageUnavailable: a target exists or cannot be written.
        """
        for path in (target, secret_target):
            if path.exists():
                raise StorageUnavailable(f"{path} is there already; a backup is a new file")
        table, secret = self.table(), self.secret()
        key_secret.write(secret_target, secret)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with self._lock, translated(target):
            source = self._open(create=True)
            assert source is not None
            with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
        sync(target)
        sync(target.parent)
        return len(table.keys)

    def _update(self, key_id: str, statement: str, values: tuple[Any, ...]) -> ApiKey | None:
        with self._change() as connection:
            if connection.execute(statement, values).rowcount == 0:
                return None
            return key_of(connection.execute(f"SELECT {COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone())

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self._path):
            connection = self._open(create=True)
            assert connection is not None
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        """Return the connection; None if there is no file and none is to be created."""
        if self._connection is not None:
            return self._connection
        try:
            if not self._path.exists():
                if not create:
                    return None
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                # SQLite gives the log beside the file the same mode.
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StorageUnavailable(
                "the API keys cannot be read or written", detail=f"{self._path}: {error.strerror}"
            ) from error
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA cache_size=-{_PAGE_KIB}")
            key_tables.check_version(connection, self._path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")
            key_tables.prepare(connection, had_keys=key_secret.exists(self._secret_path))
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection
