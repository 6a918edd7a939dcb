"""The feed of the indexes: a connection for the thread that owns them. Its calls block."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tandem_gateway.adapters.postgres import index_reads, reads
from tandem_gateway.adapters.postgres.connection import Connection, translated
from tandem_gateway.adapters.postgres.history import Commit, History, Witness
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection
from tandem_gateway.adapters.postgres.snapshot import BEGIN
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import Changes, Spaces
from tandem_gateway.records.search import FirstPassage, PassageView
from tandem_gateway.records.texts import Removals, Texts


class PostgresIndexFeed:
    """Implements ``IndexFeed``, ``TextFeed`` and ``MetadataLog``. Only one thread may use it."""

    def __init__(
        self,
        url: str,
        *,
        prepared: bool = True,
        history: History | None = None,
        on_look: Callable[[Commit], None] = lambda commit: None,
    ) -> None:
        """Follow the store in a database; the first call connects.

        Args:
            url: a connection string of libpq.
            prepared: see ``connect``.
            history: of the caches that this feed fills; None for a reader without caches.
            on_look: called with the store's last commit, each time that the feed has asked for it.
        """
        self._on_look = on_look
        self._history = history
        self._witness = Witness(history.last if history is not None else None)
        self._kept = KeptConnection(url, prepared=prepared)
        self._reading: Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let all calls in the body see one state of the store; see ``TextLog.reading``."""
        if self._reading is not None:
            yield
            return
        with translated():
            connection = self._reading = self._begin()
            try:
                yield
            finally:
                self._reading = None
                if not connection.closed:
                    connection.execute("ROLLBACK")

    def version(self) -> int:
        """Return a number that differs after each commit that a follower can see."""
        with self._state() as connection:
            return self._look(connection).number

    @property
    def lost(self) -> bool:
        """Whether the store has another history than before, so that each further call fails."""
        return self._witness.lost

    def store_id(self) -> str:
        """Return the store's random id."""
        return str(self._value("SELECT store_id FROM store"))

    def catalogue(self) -> int:
        """Return the version of the catalogue; see ``ChangeLog.catalogue``."""
        return int(self._value("SELECT catalogue FROM store"))

    def last_change(self) -> int:
        """Return the number of the last change."""
        return int(self._value("SELECT last_change FROM store"))

    def last_passage(self) -> int:
        """Return the highest passage id that was ever given."""
        return int(self._value("SELECT last_passage FROM store"))

    def changed_spaces(self, after: int) -> list[int]:
        """Return the spaces that have changed; see ``ChangeLog.changed_spaces``."""
        with self._state() as connection:
            return index_reads.changed_spaces(connection, after)

    def collections(self) -> list[CollectionRecord]:
        """Return every collection."""
        with self._state() as connection:
            return reads.collections(connection)

    def spaces(self) -> Spaces:
        """Return the spaces of all collections; see ``ChangeLog.spaces``."""
        with self.reading(), self._state() as connection:
            return Spaces(reads.collections(connection), reads.second_spaces(connection))

    def collection(self, name: str) -> CollectionRecord | None:
        """Return the collection with this name, if there is one."""
        with self._state() as connection:
            return reads.collection_by_name(connection, name)

    def changes(self, collection: CollectionRecord, *, after: int, removals_after: int, limit: int) -> Changes | None:
        """Return changes; see ``ChangeLog.changes``."""
        assert collection.dim is not None
        with self.reading(), self._state() as connection:
            return index_reads.changes(connection, collection.space_id, collection.dim, after, removals_after, limit)

    def vectors(self, space_id: int, passage_ids: Sequence[int]) -> dict[int, bytes]:
        """Return vectors; see ``ChangeLog.vectors``."""
        with self._state() as connection:
            return index_reads.vectors(connection, space_id, passage_ids)

    def passages(
        self, passage_ids: Sequence[int], max_bytes: int | None = None, *, texts: bool = True, metadata: bool = True
    ) -> dict[int, PassageView]:
        """Return passages with their documents; see ``PassageReader.passages``."""
        with self._state() as connection:
            return index_reads.passages(connection, passage_ids, max_bytes, texts=texts, metadata=metadata)

    def first_passage(self, collection_id: int, doc_id: str) -> FirstPassage | None:
        """Return the first passage of a document; see ``IndexFeed.first_passage``."""
        with self._state() as connection:
            return index_reads.first_passage(connection, collection_id, doc_id)

    def vectors_after(self, space_id: int, change: int) -> int:
        """Return how many vectors have a higher change number; see ``ChangeLog.vectors_after``."""
        return int(self._value("SELECT count(*) FROM vectors WHERE space_id = %s AND change > %s", (space_id, change)))

    def later_passages(self, space_id: int) -> tuple[Keys, Keys]:
        """Return the passages after the first of their document; see ``ChangeLog.later_passages``."""
        with self.reading(), self._state() as connection:
            return index_reads.later_passages(connection, space_id)

    def passage_ids(self, space_id: int) -> Keys:
        """Return the ids of the passages in a space's index."""
        with self._state() as connection:
            return index_reads.indexed_passage_ids(connection, space_id)

    def texts(self, after: int, *, limit: int, max_chars: int) -> Texts:
        """Return a page of texts; see ``TextLog.texts``."""
        with self.reading(), self._state() as connection:
            return index_reads.texts(connection, after, limit, max_chars)

    def metadata(self, collection_id: int, after: int, upto: int) -> list[tuple[int, str]]:
        """Return a collection's documents with their metadata; see ``MetadataLog.metadata``."""
        with self._state() as connection:
            return index_reads.metadata(connection, collection_id, after, upto)

    def removals(self, collection_id: int, *, after: int, limit: int) -> Removals:
        """Return removals of a collection; see ``TextLog.removals``."""
        with self.reading(), self._state() as connection:
            return index_reads.removals(connection, collection_id, after, limit)

    def findable(self, passage_ids: Sequence[int]) -> set[int]:
        """Return the passages that keyword search may show."""
        with self._state() as connection:
            return index_reads.findable(connection, passage_ids)

    def passage_count(self, collection_id: int) -> int:
        """Return how many texts a collection has; see ``TextLog.passage_count``."""
        with self._state() as connection:
            return index_reads.passage_count(connection, collection_id)

    def text_ids(self, collection_id: int) -> Keys:
        """Return the ids of a collection's texts, including pending ones."""
        with self._state() as connection:
            return index_reads.first_passage_ids(connection, collection_id)

    def close(self) -> None:
        """Close the connection."""
        self._kept.close()

    @contextmanager
    def _state(self) -> Iterator[Connection]:
        """Run the body on the connection, in the transaction of ``reading`` or without one."""
        with translated():
            yield self._kept.usable() if self._reading is None else self._reading

    def _value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        with self._state() as connection:
            row = connection.execute(statement, values).fetchone()
            assert row is not None
            return row[0]

    def _look(self, connection: Connection) -> Commit:
        # The caches may have what this feed has not seen. They may also have what came after the state of ``reading``.
        if self._history is not None and self._reading is None:
            self._witness.learn(self._history.last)
        commit = self._witness.look(connection)
        self._on_look(commit)
        return commit

    def _begin(self) -> Connection:
        connection = self._kept.usable()
        connection.execute(BEGIN, prepare=False)
        try:
            commit = self._look(connection)
            if self._history is not None:
                self._history.note(commit)
        except BaseException:
            if not connection.closed:
                connection.execute("ROLLBACK")
            raise
        return connection
