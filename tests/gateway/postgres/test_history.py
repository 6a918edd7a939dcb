"""A gateway notices that its store has lost commits, or was restored: no cache takes a new passage for an old one."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.postgres.history import History, agrees
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.errors import StorageUnavailable
from tests.gateway.ports.queues import embedded
from tests.support import postgres
from tests.support.stores import LIMITS, NOW, document, ingest

Restore = Callable[[], None]


@pytest.fixture
def restored(url: str) -> tuple[str, Callable[[], None], Restore]:
    """The database, and what takes a backup of it and puts the backup in its place."""
    server = postgres.server()
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]

    def run(*statements: str) -> None:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def back_up() -> None:
        run(f"CREATE DATABASE {name}_backup TEMPLATE {name}")

    def restore() -> None:
        run(f"DROP DATABASE {name} WITH (FORCE)", f"ALTER DATABASE {name}_backup RENAME TO {name}")

    return url, back_up, restore


def open_on(url: str) -> PostgresStore:
    return PostgresStore(url, limits=LIMITS, max_queued=100, write_timeout=30.0, batch_bytes=1 << 20)


async def write(url: str, *names: str) -> None:
    store = open_on(url)
    try:
        for name in names:
            await ingest(store, [document(name)], job_id=f"job {name}")
    finally:
        store.close()


def read_all(feed: PostgresIndexFeed) -> list[str]:
    return [each.text for each in feed.texts(0, limit=100, max_chars=1 << 20).passages]


@pytest.mark.parametrize("after", [(), ("x",), ("x", "y"), ("x", "y", "z")], ids=len)
async def test_lost_commits_are_noticed_whatever_the_new_ones_count(
    restored: tuple[str, Callable[[], None], Restore], tmp_path: Path, after: tuple[str, ...]
):
    url, back_up, restore = restored
    await write(url, "a")
    back_up()
    await write(url, "lost 1", "lost 2")
    feed = PostgresIndexFeed(url, history=History(tmp_path / "history"))
    assert read_all(feed) == ["text of a", "text of lost 1", "text of lost 2"]
    before = feed.version()
    restore()
    await write(url, *after)
    for read in (feed.version, lambda: read_all(feed), feed.version):
        with pytest.raises(StorageUnavailable, match="start the gateway again"):
            read()
    feed.close()
    # A gateway that starts compares what its caches have.
    last = History(tmp_path / "history").last
    assert last is not None
    assert last.number == before
    with connect(url) as connection:
        assert not agrees(connection, last)
        assert agrees(connection, None)
    # A feed without caches reads what is there.
    fresh = PostgresIndexFeed(url)
    assert read_all(fresh) == ["text of a", *(f"text of {name}" for name in after)]
    fresh.close()


async def test_a_fail_over_that_loses_nothing_is_not_noticed(
    restored: tuple[str, Callable[[], None], Restore], tmp_path: Path
):
    url, back_up, restore = restored
    await write(url, "a", "b")
    feed = PostgresIndexFeed(url, history=History(tmp_path / "history"))
    assert len(read_all(feed)) == 2
    back_up_of = feed.version()
    feed.close()
    back_up()
    restore()
    await write(url, "c")
    again = PostgresIndexFeed(url, history=History(tmp_path / "history"))
    assert len(read_all(again)) == 3
    assert again.version() > back_up_of
    again.close()


async def test_a_vector_of_a_lost_text_is_not_stored_with_the_text_that_has_its_number(
    restored: tuple[str, Callable[[], None], Restore],
):
    url, back_up, restore = restored
    back_up()
    old = open_on(url)
    await old.accept("job", "default", [document("a", "lost")], NOW)
    batch = await old.queue.claim("worker", 10, 60.0)
    assert batch is not None
    restore()
    new = open_on(url)
    await new.accept("job", "default", [document("a", "another")], NOW)
    assert (await new.queue.claim("other", 10, 60.0)).passages[0].passage_id == batch.passages[0].passage_id
    assert await old.queue.complete(embedded(batch)) == 0
    view = await new.document("default", "a")
    assert view is not None
    assert (view.text, view.embedded) == ("another", False)
    old.close()
    new.close()


def test_a_damaged_file_counts_as_none(tmp_path: Path):
    path = tmp_path / "history"
    assert History(path).last is None
    path.write_bytes(b"x" * 60)
    assert History(path).last is None


async def test_a_feed_that_has_not_seen_the_lost_commits_knows_that_the_caches_have_them(
    restored: tuple[str, Callable[[], None], Restore], tmp_path: Path
):
    url, back_up, restore = restored
    await write(url, "a")
    history = History(tmp_path / "history")
    watching, reading = (PostgresIndexFeed(url, history=history) for _ in range(2))
    back_up()
    watching.version()
    await write(url, "lost")
    read_all(reading)
    restore()
    with pytest.raises(StorageUnavailable, match="start the gateway again"):
        watching.version()
    assert watching.lost
    for feed in (watching, reading):
        feed.close()
    history.close()


async def test_commits_after_the_state_that_is_read_are_not_lost(url: str, tmp_path: Path):
    await write(url, "a")
    history = History(tmp_path / "history")
    late, other = (PostgresIndexFeed(url, history=history) for _ in range(2))
    with late.reading():
        before = late.version()
        await write(url, "b")
        assert len(read_all(other)) == 2
        assert late.version() == before
    assert late.version() > before
    for feed in (late, other):
        feed.close()
    history.close()
