"""The change feed: a read-only connection for the thread that owns the indexes."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tandem_gateway.adapters.sqlite import reads
from tandem_gateway.adapters.sqlite.connection import connect, read_transaction, translated
from tandem_gateway.model import Changes, CollectionRecord, Keys, LiveDocument


class SqliteChangeFeed:
    """Implements ``ChangeFeed``; used by one thread only."""

    def __init__(self, path: Path) -> None:
        """Open the store in ``path``, which must exist.

        Raises:
            StorageError: if it cannot be read.
        """
        self._path = path
        self._connection: sqlite3.Connection = connect(path, writable=False)
        self._seen_version = -1

    def has_news(self) -> bool:
        """Compare SQLite's data_version, which changes when another connection has committed."""
        with translated(self._path):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._seen_version:
            return False
        self._seen_version = version
        return True

    def news_not_taken(self) -> None:
        """Forget the version that was seen."""
        self._seen_version = -1

    def store_id(self) -> str:
        """Return the store's random id."""
        with translated(self._path):
            return reads.store_id(self._connection)

    def last_change(self) -> int:
        """Return the number of the last change."""
        with translated(self._path):
            return reads.counter(self._connection, "change")

    def collections(self) -> list[CollectionRecord]:
        """Return every collection."""
        with translated(self._path):
            return reads.collections(self._connection)

    def changes(self, collection: CollectionRecord, *, after: int, removals_after: int, limit: int) -> Changes | None:
        """Return changes; see ``ChangeFeed.changes``."""
        assert collection.dim is not None
        with translated(self._path), read_transaction(self._connection):
            return reads.changes(
                self._connection, collection.collection_id, collection.dim, after, removals_after, limit
            )

    def documents(self, row_ids: Sequence[int]) -> dict[int, LiveDocument]:
        """Return those of the rows that are there."""
        with translated(self._path):
            return reads.live_documents(self._connection, row_ids)

    def row_ids(self, collection_id: int) -> Keys:
        """Return the row numbers of all documents that have a vector."""
        with translated(self._path):
            return reads.live_row_ids(self._connection, collection_id)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
