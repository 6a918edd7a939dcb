"""A call that failed frees its batch at once: an error must not keep itself, and with it all that it came through."""

import asyncio
import gc
import logging
import sqlite3
import weakref
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tandem_contract.client_api import SearchRequest
from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http_client import Http1Client
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolSettings
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.sqlite.writes import Limits
from tandem_gateway.errors import EmbedderUnavailable, NotFound, NotReady, StorageUnavailable
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.records.documents import NewDocuments
from tandem_gateway.records.search import Hit
from tandem_gateway.use_cases.search_pipeline import SearchPipeline
from tests.gateway.unit.test_answering import Bench as AnsweringBench
from tests.gateway.unit.test_http1 import Handler, read_request
from tests.gateway.unit.test_search import Bench as SearchBench
from tests.support.fakes import FakeGraphFactory, answer_limits, run
from tests.support.freed import Batch, assert_gone, failure_of, no_collector
from tests.support.processes import free_port
from tests.support.stores import NOW, document, open_store, opened


class Mistake(Exception):
    """An error that nobody foresaw."""


def sending(answer: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return handler


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


ANSWERS: dict[str, Handler] = {
    "closed": sending(b""),
    "cut off": sending(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
    "not HTTP": sending(b"garbage\r\n\r\n"),
    "not ready": sending(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"),
    "no vectors": sending(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
    "late": silent,
}


def make_pool(ports: Sequence[int]) -> EmbedderPool:
    def connect(address: Address) -> HttpEmbedder:
        return HttpEmbedder(address.url, Http1Client(address.url, address=address.ip, max_connections=2))

    return EmbedderPool(
        "stable", [f"http://127.0.0.1:{port}" for port in ports], connect, settings=PoolSettings(attempt=0.1)
    )


async def assert_a_failed_call_is_freed(pool: EmbedderPool, timeout: float) -> None:
    async def call() -> object:
        batch = Batch(["one", "two"])
        batches.append(weakref.ref(batch))
        return await pool.embed(batch, kind="document", priority="bulk", timeout=timeout)

    batches: list[weakref.ref[Batch]] = []
    with no_collector():
        errors = await failure_of(call)
        await assert_gone([*batches, *errors])


@pytest.mark.parametrize("replicas", [1, 2])
def test_no_embedder_is_there(replicas: int):
    async def test() -> None:
        pool = make_pool([free_port() for _ in range(replicas)])
        await assert_a_failed_call_is_freed(pool, 5.0)
        pool.close()

    run(test)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("handler", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_embedder_fails(handler: Handler, replicas: int):
    async def test() -> None:
        servers = [await asyncio.start_server(handler, "127.0.0.1", 0) for _ in range(replicas)]
        pool = make_pool([server.sockets[0].getsockname()[1] for server in servers])
        try:
            await assert_a_failed_call_is_freed(pool, 0.2 if handler is silent else 5.0)
        finally:
            pool.close()
            for server in servers:
                server.close()
                await server.wait_closed()

    run(test)


def test_an_idle_connection_keeps_no_answer():
    async def test() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        client = Http1Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_connections=1)
        response = await client.request("GET", "/", {}, b"", timeout=5.0)
        assert response.body == b"body"
        (connection,) = client._idle
        assert response not in gc.get_referents(connection)
        client.close()
        server.close()
        await server.wait_closed()

    run(test)


def accepting(store: SqliteStore, batches: list[weakref.ref[object]]) -> Callable[[], Awaitable[object]]:
    async def call() -> object:
        documents = NewDocuments([document("a"), document("b")])
        batches.append(weakref.ref(documents))
        return await store.accept("job", "default", documents, NOW)

    return call


def assert_a_failed_write_is_freed(store: SqliteStore) -> None:
    async def test() -> None:
        batches: list[weakref.ref[object]] = []
        with no_collector():
            errors = await failure_of(accepting(store, batches))
            await assert_gone([*batches, *errors])

    run(test)


def test_a_write_is_refused(tmp_path: Path):
    with opened(tmp_path, Limits(collections=5, pending_documents=1, finished_jobs=10)) as store:
        assert_a_failed_write_is_freed(store)


def test_a_write_is_no_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def accept(connection: sqlite3.Connection, *rest: object) -> None:
        connection.execute("INSERT INTO jobs SELECT 1 FROM nothing")

    with opened(tmp_path) as store:
        monkeypatch.setattr("tandem_gateway.adapters.sqlite.writes.accept", accept)
        assert_a_failed_write_is_freed(store)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), Mistake()])
def test_a_commit_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def next_number(connection: sqlite3.Connection, counter: str) -> int:
        raise type(error)(*error.args)

    with opened(tmp_path) as store:
        monkeypatch.setattr("tandem_gateway.adapters.sqlite.writes.next_number", next_number)
        assert_a_failed_write_is_freed(store)


def test_a_write_takes_too_long(tmp_path: Path):
    store = open_store(tmp_path, write_timeout=0.01)
    blocker = sqlite3.connect(tmp_path / "tandem.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    async def test() -> None:
        batches: list[weakref.ref[object]] = []
        with no_collector():
            errors = await failure_of(accepting(store, batches))
            blocker.execute("COMMIT")
            await assert_gone([*batches, *errors])

    run(test)
    blocker.close()
    store.close()


def test_the_writer_forgets_what_it_has_written(tmp_path: Path):
    async def test() -> None:
        batches: list[weakref.ref[object]] = []
        with no_collector():
            await accepting(store, batches)()
            await assert_gone(batches)

    with opened(tmp_path) as store:
        run(test)


def test_a_search_fails_for_want_of_an_embedder():
    async def test() -> None:
        bench = SearchBench()
        bench.embedder.unavailable = True
        with no_collector():
            await assert_gone(await failure_of(lambda: bench.use_case.search(SearchRequest("q", 1, "default"))))

    run(test)


@pytest.mark.parametrize("error", [StorageUnavailable("no disk"), Mistake()])
@pytest.mark.parametrize("kept", [0, 8])
def test_a_search_fails_in_the_index(error: Exception, kept: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL, "tandem_gateway.use_cases.dense_search")  # a record that is kept keeps its error

    async def test() -> None:
        bench = SearchBench(kept=kept)
        bench.index.pinned["default"] = "f" * 32

        async def search() -> object:
            return await bench.use_case.search(SearchRequest("q", 1, "default"))

        await search()  # its vector is kept, or not
        failing = FailingIndex(type(error), error.args)
        bench.use_case._index = failing
        with no_collector():
            await assert_gone(await failure_of(search))

    run(test)


class FailingIndex:
    """A ``Searchable`` that makes a new error at each search."""

    def __init__(self, kind: type[Exception], args: tuple[object, ...]) -> None:
        self._kind, self._args = kind, args

    def fingerprint(self, collection: str) -> str | None:
        return "f" * 32

    def search(self, queries: Sequence[object]) -> "asyncio.Future[list[object]]":
        answer: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
        answer.set_exception(self._kind(*self._args))
        return answer


class FailingLexical:
    """A ``LexicalIndex`` that makes a new error at each search."""

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        raise NotReady("it is being built")


def test_a_search_fails_either_way():
    async def test() -> None:
        bench = AnsweringBench()
        bench.embedder.unavailable = True
        bench.use_case._lexical = FailingLexical()
        use_case: SearchPipeline = bench.use_case
        with no_collector():
            await assert_gone(await failure_of(lambda: use_case.answer(SearchRequest("q", 1, "default", "auto"))))

    run(test)


class FailingFeed:
    """A ``ChangeFeed`` of a store that cannot be read once the index is loaded."""

    broken = False

    def version(self) -> int:
        if self.broken:
            raise StorageUnavailable("no disk")
        return 1

    def collections(self) -> list[object]:
        return []

    def close(self) -> None:
        pass


class NoSnapshots:
    """A ``SnapshotStore`` that holds none."""

    def remove_orphans(self, collection_ids: object) -> list[str]:
        return []


def test_the_index_s_thread_fails():
    feed = FailingFeed()
    thread = IndexThread(lambda: feed, NoSnapshots(), FakeGraphFactory(), answer_limits())  # type: ignore[arg-type]
    thread.start().result()

    async def test() -> None:
        feed.broken = True
        with no_collector():
            await assert_gone(await failure_of(lambda: thread.search([])))
            await assert_gone(await failure_of(lambda: asyncio.wrap_future(thread._call(fail))))

    def fail() -> None:
        raise NotFound("nothing", param="x")

    run(test)
    thread.close()


def test_the_helper_tells_an_error_that_keeps_itself():
    async def test() -> None:
        async def call() -> None:
            error: Exception | None = None
            try:
                raise EmbedderUnavailable("x")
            except EmbedderUnavailable as failure:
                error = failure
            raise error

        with no_collector():
            (reference,) = await failure_of(call)
            assert reference() is not None
        gc.collect()
        await assert_gone([reference])

    run(test)
