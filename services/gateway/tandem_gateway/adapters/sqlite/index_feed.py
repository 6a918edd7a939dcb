"""The feed of the indexes: a read-only connection for the thread that owns the indexes."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tandem_gateway.adapters.sqlite import counters, index_reads, reads
from tandem_gateway.adapters.sqlite.connection import connect, read_transaction, translated
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import Changes, Spaces
from tandem_gateway.records.search import FirstPassage, PassageView
from tandem_gateway.records.texts import Removals, Texts

# Small, because the caller caches the rows that it requests repeatedly.
_PAGE_KIB = 500


class SqliteIndexFeed:
    """Implements ``IndexFeed``, ``TextFeed`` and ``MetadataLog``. Only one thread may use it."""

    def __init__(self, path: Path, commits: Callable[[], int] | None = None) -> None:
        """Open the store at ``path``, which must exist.

        Args:
            path: of the database.
            commits: of the store, if this process is its only writer; see ``SqliteStore.commits``. Without it, the feed
                asks SQLite, which takes a hundred times as long.

        Raises:
            StorageError: if the store cannot be read.
        """
        self._path = path
        self._connection: sqlite3.Connection = connect(path, writable=False, page_kib=_PAGE_KIB)
        self._commits = commits

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let all calls in the body see one state of the store; see ``TextLog.reading``."""
        with translated(self._path):
            if self._connection.in_transaction:
                yield
            else:
                with read_transaction(self._connection):
                    yield

    def version(self) -> int:
        """Return a number that differs after each commit."""
        if self._commits is not None and (commits := self._commits()) % 2 == 0:
            return commits
        # Another reader may see a commit before the writer has announced it, and tell a client, for example that a job
        # is done. SQLite knows it already.
        return -self._data_version() - 1

    def store_id(self) -> str:
        """Return the store's random id."""
        with translated(self._path):
            return reads.store_id(self._connection)

    def catalogue(self) -> int:
        """Return the version of the catalogue; see ``ChangeLog.catalogue``."""
        with translated(self._path):
            return counters.value(self._connection, "catalogue")

    def changed_spaces(self, after: int) -> list[int]:
        """Return the spaces that have changed; see ``ChangeLog.changed_spaces``."""
        with translated(self._path):
            return index_reads.changed_spaces(self._connection, after)

    def last_change(self) -> int:
        """Return the number of the last change."""
        with translated(self._path):
            return counters.value(self._connection, "change")

    def collections(self) -> list[CollectionRecord]:
        """Return every collection."""
        with translated(self._path):
            return reads.collections(self._connection)

    def spaces(self) -> Spaces:
        """Return the spaces of all collections; see ``ChangeLog.spaces``."""
        with self.reading():
            return Spaces(reads.collections(self._connection), reads.second_spaces(self._connection))

    def collection(self, name: str) -> CollectionRecord | None:
        """Return the collection with this name, if there is one."""
        with translated(self._path):
            return reads.collection_by_name(self._connection, name)

    def changes(self, collection: CollectionRecord, *, after: int, removals_after: int, limit: int) -> Changes | None:
        """Return changes; see ``ChangeLog.changes``."""
        assert collection.dim is not None
        with self.reading():
            return index_reads.changes(
                self._connection, collection.space_id, collection.dim, after, removals_after, limit
            )

    def vectors(self, space_id: int, passage_ids: Sequence[int]) -> dict[int, bytes]:
        """Return vectors; see ``ChangeLog.vectors``."""
        with translated(self._path):
            return index_reads.vectors(self._connection, space_id, passage_ids)

    def passages(
        self, passage_ids: Sequence[int], max_bytes: int | None = None, *, texts: bool = True, metadata: bool = True
    ) -> dict[int, PassageView]:
        """Return passages with their documents; see ``PassageReader.passages``."""
        with translated(self._path):
            return index_reads.passages(self._connection, passage_ids, max_bytes, texts=texts, metadata=metadata)

    def first_passage(self, collection_id: int, doc_id: str) -> FirstPassage | None:
        """Return the first passage of a document; see ``IndexFeed.first_passage``."""
        with translated(self._path):
            return index_reads.first_passage(self._connection, collection_id, doc_id)

    def vectors_after(self, space_id: int, change: int) -> int:
        """Return how many vectors have a higher change number; see ``ChangeLog.vectors_after``."""
        with translated(self._path):
            return index_reads.vectors_after(self._connection, space_id, change)

    def later_passages(self, space_id: int) -> tuple[Keys, Keys]:
        """Return the passages after the first of their document; see ``ChangeLog.later_passages``."""
        with translated(self._path):
            return index_reads.later_passages(self._connection, space_id)

    def passage_ids(self, space_id: int) -> Keys:
        """Return the ids of the passages in a space's index."""
        with translated(self._path):
            return index_reads.indexed_passage_ids(self._connection, space_id)

    def last_passage(self) -> int:
        """Return the highest passage id that was ever given."""
        with translated(self._path):
            return counters.value(self._connection, "passage")

    def texts(self, after: int, *, limit: int, max_chars: int) -> Texts:
        """Return a page of texts; see ``TextLog.texts``."""
        with self.reading():
            return index_reads.texts(self._connection, after, limit, max_chars)

    def metadata(self, collection_id: int, after: int, upto: int) -> list[tuple[int, str]]:
        """Return a collection's documents with their metadata; see ``MetadataLog.metadata``."""
        with self.reading():
            return index_reads.metadata(self._connection, collection_id, after, upto)

    def removals(self, collection_id: int, *, after: int, limit: int) -> Removals:
        """Return removals of a collection; see ``TextLog.removals``."""
        with self.reading():
            return index_reads.removals(self._connection, collection_id, after, limit)

    def findable(self, passage_ids: Sequence[int]) -> set[int]:
        """Return the passages that keyword search may show."""
        with translated(self._path):
            return index_reads.findable(self._connection, passage_ids)

    def passage_count(self, collection_id: int) -> int:
        """Return how many texts a collection has; see ``TextLog.passage_count``."""
        with translated(self._path):
            return index_reads.passage_count(self._connection, collection_id)

    def text_ids(self, collection_id: int) -> Keys:
        """Return the ids of a collection's texts, including pending ones."""
        with translated(self._path):
            return index_reads.all_passage_ids(self._connection, collection_id)

    def _data_version(self) -> int:
        """Return SQLite's data version, which changes when another connection commits."""
        with translated(self._path):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
