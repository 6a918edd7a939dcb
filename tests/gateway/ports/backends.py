"""The stores that the conformance tests run on, and what a test does to them that is in no port."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.postgres.connection import connect as connect_to_postgres
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.adapters.sole_position import SolePosition
from tandem_gateway.adapters.sqlite import passages, versions
from tandem_gateway.adapters.sqlite.check import find_damage
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect
from tandem_gateway.adapters.sqlite.counters import next_number
from tandem_gateway.adapters.sqlite.embedding_queue import SqliteEmbeddingQueue
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.reembeddings import SqliteReembeddings
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.ports.catalogue import Catalogue
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.documents import DocumentStore, IngestStore
from tandem_gateway.ports.embedding_queue import EmbeddingQueue
from tandem_gateway.ports.jobs import JobStore
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.ports.reembedding import Reembeddings
from tandem_gateway.ports.retention import Retention
from tandem_gateway.ports.sizes import StoredSizes
from tests.support import pgbouncer, postgres
from tests.support.fakes import WAIT_SECONDS
from tests.support.postgres_check import find_damage as find_damage_in_postgres
from tests.support.stores import LIMITS, open_store


class Store(IngestStore, JobStore, DocumentStore, Catalogue, Retention, StoredSizes, Protocol):
    """All ports that a store has on each backend."""

    queue: EmbeddingQueue
    reembeddings: Reembeddings
    position: StorePosition


class Backend(Protocol):
    """Opens stores; ``close`` closes them all."""

    def open(
        self, limits: Limits = LIMITS, *, batch_bytes: int = 1 << 20, clock: Callable[[], float] = time.monotonic
    ) -> Store:
        """Return a new store; ``batch_bytes`` and ``clock`` are those of its queue."""
        ...

    def feed(self, store: Store) -> IndexFeed:
        """Return a feed of a store."""
        ...

    def add_passage(self, store: Store, passage_id: int, at: int) -> None:
        """Give the document of a pending passage a second one, which begins at character ``at``."""
        ...

    def close(self) -> None: ...


class InMemory:
    """``MemoryStore``."""

    def __init__(self, folder: Path) -> None:
        pass

    def open(
        self, limits: Limits = LIMITS, *, batch_bytes: int = 1 << 20, clock: Callable[[], float] = time.monotonic
    ) -> MemoryStore:
        return MemoryStore(limits=limits, batch_bytes=batch_bytes, clock=clock)

    def feed(self, store: MemoryStore) -> IndexFeed:
        return store.open_feed()

    def add_passage(self, store: MemoryStore, passage_id: int, at: int) -> None:
        with store._content.lock:
            for collection in store._content.collections.values():
                found = collection.pending_passage(passage_id)
                if found is not None:
                    version, passage = found
                    passage.stop = at
                    version.passages.append(store._content.new_passage(at))

    def close(self) -> None:
        pass


class InSqlite:
    """``SqliteStore``; ``close`` also checks that each store is sound."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: dict[Path, SqliteStore] = {}
        self._feeds: list[SqliteIndexFeed] = []

    def open(
        self, limits: Limits = LIMITS, *, batch_bytes: int = 1 << 20, clock: Callable[[], float] = time.monotonic
    ) -> SqliteStore:
        data_dir = self._folder / str(len(self._stores))
        data_dir.mkdir()
        store = self._stores[data_dir] = open_store(data_dir, limits)
        store.queue = SqliteEmbeddingQueue(
            store._read, store._write, batch_bytes=batch_bytes, failed_bytes=limits.failed_bytes, clock=clock
        )
        store.reembeddings = SqliteReembeddings(store._read, store._write, batch_bytes=batch_bytes)
        feed = self.feed(store)
        assert isinstance(feed, SqliteIndexFeed)
        store.position = SolePosition(feed.store_id())
        return store

    def feed(self, store: SqliteStore) -> IndexFeed:
        self._feeds.append(SqliteIndexFeed(store._path, lambda: store.commits))
        return self._feeds[-1]

    def add_passage(self, store: SqliteStore, passage_id: int, at: int) -> None:
        def add(connection: object) -> None:
            version = versions.pending_of(connection, passage_id)
            assert version is not None
            connection.execute("DELETE FROM passages WHERE passage_id = ?", (passage_id,))
            passages.insert(connection, passage_id, version.document_id, 0, 0, at)
            second = next_number(connection, "passage")
            passages.insert(connection, second, version.document_id, 1, at, None)

        store._writer.submit(add).result(WAIT_SECONDS)

    def close(self) -> None:
        for feed in self._feeds:
            feed.close()
        for data_dir, store in self._stores.items():
            store.close()
            connection = connect(data_dir / FILE_NAME, writable=False)
            try:
                assert find_damage(connection) == []
            finally:
                connection.close()


_OPEN_AT_ONCE = 8


class InPostgres:
    """``PostgresStore``; ``close`` also checks that each store is sound."""

    prepared = True

    def __init__(self, folder: Path) -> None:
        self._stores: dict[str, PostgresStore] = {}
        self._feeds: list[PostgresIndexFeed] = []

    def reached(self, url: str) -> str:
        """Return the connection string by which a store reaches its database."""
        return url

    def open(
        self, limits: Limits = LIMITS, *, batch_bytes: int = 1 << 20, clock: Callable[[], float] = time.monotonic
    ) -> PostgresStore:
        while len(self._stores) >= _OPEN_AT_ONCE:  # a generated test opens many, and uses one
            self._close(next(iter(self._stores)))
        url = postgres.databases().take()
        store = self._stores[url] = PostgresStore(
            self.reached(url),
            limits=limits,
            max_queued=100,
            write_timeout=30.0,
            batch_bytes=batch_bytes,
            prepared=self.prepared,
            clock=None if clock is time.monotonic else clock,
        )
        return store

    def feed(self, store: PostgresStore) -> IndexFeed:
        (url,) = (url for url, each in self._stores.items() if each is store)
        self._feeds.append(PostgresIndexFeed(self.reached(url), prepared=self.prepared))
        return self._feeds[-1]

    def add_passage(self, store: PostgresStore, passage_id: int, at: int) -> None:
        (url,) = (url for url, each in self._stores.items() if each is store)
        with connect_to_postgres(url) as connection, connection.transaction():
            connection.execute(
                "UPDATE store SET last_passage = last_passage + 1, commits = commits + 1",
            )
            connection.execute("UPDATE passages SET stop = %s WHERE passage_id = %s", (at, passage_id))
            connection.execute(
                "INSERT INTO passages (passage_id, document_id, ordinal, start) "
                "SELECT s.last_passage, p.document_id, 1, %s FROM store s, passages p WHERE p.passage_id = %s",
                (at, passage_id),
            )
            connection.execute(
                "INSERT INTO pending (document_id, ordinal, passage_id) SELECT p.document_id, 1, p.passage_id "
                "FROM store s JOIN passages p ON p.passage_id = s.last_passage"
            )

    def close(self) -> None:
        for feed in self._feeds:
            feed.close()
        for url in list(self._stores):
            self._close(url)

    def _close(self, url: str) -> None:
        store = self._stores.pop(url)
        for feed in self._feeds:
            if feed._kept.url == self.reached(url):
                feed.close()
        store.close()
        assert find_damage_in_postgres(url) == []
        postgres.databases().give_back(url)


class BehindPgBouncer(InPostgres):
    """``PostgresStore`` whose connections go through PgBouncer in its transaction mode."""

    prepared = False

    def reached(self, url: str) -> str:
        return pgbouncer.bouncer().through(url)
