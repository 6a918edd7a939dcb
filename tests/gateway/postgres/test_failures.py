"""What a caller is told when the database fails, and that the store works again afterwards."""

import asyncio
import signal
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.postgres.connection import connect, explain
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.migrations import SCRIPTS, VERSION, migrate
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    Overloaded,
    StorageCorrupt,
    StorageError,
    StorageUnavailable,
)
from tests.gateway.postgres.conftest import OpenStore
from tests.support import postgres
from tests.support.fakes import WAIT_SECONDS, eventually
from tests.support.postgres import PostgresServer
from tests.support.postgres_check import find_damage
from tests.support.stores import NOW, document, embed_pending

LIMITS = Limits(collections=10, pending_documents=10**6, finished_jobs=10**6)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own, whose commits are on disk; the test may stop it."""
    made = PostgresServer("fsync=on", "full_page_writes=on")
    yield made
    made.remove()


def open_on(url: str, **options: float) -> PostgresStore:
    given = {"write_timeout": 30.0, "max_queued": 100, **options}
    return PostgresStore(url, limits=LIMITS, batch_bytes=1 << 20, **given)


async def test_a_server_that_is_not_there_is_an_error_that_names_no_address(tmp_path_factory: pytest.TempPathFactory):
    nowhere = tmp_path_factory.mktemp("nowhere")
    store = open_on(f"host={nowhere} user=tandem dbname=store", write_timeout=0.5)
    try:
        with pytest.raises((StorageUnavailable, DeadlineExceeded)) as caught:
            await store.collections()
        assert str(nowhere) not in str(caught.value)
    finally:
        store.close()
    feed = PostgresIndexFeed(f"host={nowhere} user=tandem dbname=store")
    with pytest.raises(StorageUnavailable) as refused:
        feed.version()
    assert str(nowhere) not in str(refused.value)
    assert str(nowhere) in refused.value.detail


async def test_a_restart_between_two_calls_is_not_noticed(server: PostgresServer):
    url = server.url()
    migrate(url)
    store, feed = open_on(url), PostgresIndexFeed(url)
    try:
        await store.accept("job", "default", [document("a")], NOW)
        before = feed.version()
        for how in (signal.SIGINT, signal.SIGQUIT):
            server.stop(how)
            server.start()
            assert (await store.collections())[0].pending == 1
            assert feed.version() == before
        assert await embed_pending(store) == 1
        assert await store.delete("default", "a")
    finally:
        feed.close()
        store.close()
    assert find_damage(url) == []


async def test_acknowledged_ingests_survive_crashes_under_load(server: PostgresServer):
    url = server.url()
    migrate(url)
    stores = [open_on(url) for _ in range(3)]
    acknowledged: set[str] = set()
    running = True

    async def ingest(store: PostgresStore, writer: int) -> None:
        step = 0
        while running:
            step += 1
            job_id = f"job-{writer}-{step}"
            try:
                await store.accept(job_id, "default", [document(f"{writer}-{step % 7}", f"text {step}")], NOW)
                acknowledged.add(job_id)
                await embed_pending(store)
            except StorageError:
                await asyncio.sleep(0.01)  # not a wait for anything: the server is down, others need the processor

    tasks = [asyncio.create_task(ingest(store, number)) for number, store in enumerate(stores)]
    try:
        for _ in range(3):
            count = len(acknowledged)
            await eventually(lambda: _length(acknowledged), lambda seen, count=count: seen > count + 30)
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await asyncio.to_thread(server.start)
        count = len(acknowledged)
        await eventually(lambda: _length(acknowledged), lambda seen: seen > count + 30)
        running = False
        await asyncio.gather(*tasks)
        while await embed_pending(stores[0]):
            pass
        jobs = {job.job_id: job for job in await stores[0].progress(sorted(acknowledged))}
        assert jobs.keys() == acknowledged
        await eventually(lambda: _unfinished(stores[0], acknowledged), lambda left: not left)
    finally:
        running = False
        for task in tasks:
            task.cancel()
        for store in stores:
            await asyncio.to_thread(store.close)
    assert find_damage(url) == []


async def _length(found: set[str]) -> int:
    return len(found)


async def _unfinished(store: PostgresStore, job_ids: set[str]) -> set[str]:
    """Embed what is left: leases of the time before a crash are in the database."""
    while await embed_pending(store):
        pass
    with connect(store._writing._url) as connection:
        connection.execute("UPDATE pending SET lease_until = 0")
    return await store.unfinished(job_ids)


async def test_a_write_that_waits_too_long_is_ended_and_leaves_no_lock(open_store: OpenStore, url: str):
    store = open_store(write_timeout=0.3)
    await store.accept("job", "default", [document("a")], NOW)
    with connect(url) as other:
        other.execute("BEGIN")
        other.execute("SELECT 1 FROM collections WHERE name = 'default' FOR UPDATE")
        with pytest.raises(DeadlineExceeded, match="longer than 300 ms"):
            await store.delete("default", "a")
        await eventually(lambda: _active(url), lambda count: count == 0)
        other.execute("ROLLBACK")
    assert await store.delete("default", "a")


async def _active(url: str) -> int:
    with connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = current_database() "
            "AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_queue_of_statements_has_a_limit(open_store: OpenStore, url: str):
    store = open_store(max_queued=3)
    await store.accept("job", "default", [document("a")], NOW)
    with connect(url) as other:
        other.execute("BEGIN")
        other.execute("SELECT 1 FROM collections WHERE name = 'default' FOR UPDATE")
        waiting = [asyncio.ensure_future(store.delete("default", "a")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="the limit is 3"):
            await store.delete("default", "a")
        other.execute("ROLLBACK")
    assert sorted(await asyncio.gather(*waiting)) == [False, False, True]


async def test_a_deadlock_is_resolved_by_a_repetition(open_store: OpenStore, url: str):
    """Two transactions that wait for each other: PostgreSQL ends one, and the store repeats it."""
    store = open_store()
    for name in ("default", "books"):
        await store.accept(f"job-{name}", name, [document("a")], NOW)

    met = threading.Barrier(2)
    tries: list[str] = []

    def lock_both(first: str, second: str) -> int:
        def run(connection: psycopg.Connection[tuple[object, ...]]) -> int:
            tries.append(first)
            with connection.transaction():
                connection.execute("SELECT 1 FROM collections WHERE name = %s FOR UPDATE", (first,))
                if tries.count(first) == 1:
                    met.wait(WAIT_SECONDS)
                connection.execute("SELECT 1 FROM collections WHERE name = %s FOR UPDATE", (second,))
            return 1

        return store._writing.call(run, repeatable=False)

    both = [asyncio.to_thread(lock_both, *names) for names in (("default", "books"), ("books", "default"))]
    assert await asyncio.gather(*both) == [1, 1]
    assert len(tries) == 3


async def test_a_store_leaves_a_server_that_became_read_only(open_store: OpenStore, url: str):
    """Such as a primary that another server has replaced: a new connection finds the one that takes writes."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with connect(url) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            store = open_store()
            with pytest.raises(StorageUnavailable, match="read-only"):
                await store.accept("job", "default", [document("a")], NOW)
        finally:
            admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await store.accept("job", "default", [document("a")], NOW)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("57014", DeadlineExceeded),
        ("40P01", Overloaded),
        ("40001", Overloaded),
        ("53100", StorageUnavailable),
        ("53300", StorageUnavailable),
        ("25006", StorageUnavailable),
        ("57P01", StorageUnavailable),
        ("28P01", StorageUnavailable),
        ("42P01", StorageUnavailable),
        ("XX001", StorageCorrupt),
        ("XX002", StorageCorrupt),
    ],
)
def test_each_error_of_the_database_is_one_of_the_domain(code: str, kind: type[GatewayError]):
    error = psycopg.errors.lookup(code)("secret detail")
    found = explain(error)
    assert type(found) is kind
    assert "secret" not in str(found)


def test_a_store_of_a_later_release_is_refused(url: str):
    with connect(url) as connection:
        connection.execute("INSERT INTO schema_version VALUES (%s)", (VERSION + 1,))
    try:
        with pytest.raises(StorageUnavailable, match=f"schema {VERSION + 1} of a later release"):
            migrate(url)
    finally:
        with connect(url) as connection:
            connection.execute("DELETE FROM schema_version WHERE version > %s", (VERSION,))


async def test_gateways_that_start_at_once_make_the_tables_once():
    server = postgres.server()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE starting")
    try:
        ran = await asyncio.gather(*(asyncio.to_thread(migrate, server.url("starting")) for _ in range(4)))
        assert sum(ran) == len(SCRIPTS)
        assert find_damage(server.url("starting")) == []
    finally:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("DROP DATABASE starting WITH (FORCE)")
