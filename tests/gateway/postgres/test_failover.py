"""A standby takes over from a server that died, with and without a loss of commits."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tandem_gateway.adapters.postgres.history import History
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.migrations import migrate
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.errors import StorageUnavailable
from tests.support.fakes import eventually
from tests.support.postgres import PostgresServer
from tests.support.postgres_check import find_damage
from tests.support.stores import LIMITS, document, ingest


class Pair:
    """A primary server and its asynchronous standby; ``url`` leads to the one that takes writes."""

    def __init__(self) -> None:
        self.primary = PostgresServer()
        migrate(self.primary.url())
        self.standby = PostgresServer(standby_of=self.primary)
        hosts = f"{self.primary.folder},{self.standby.folder}"
        self.url = f"host={hosts} user=tandem dbname=postgres target_session_attrs=read-write"

    def ask(self, server: PostgresServer, statement: str) -> object:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            row = connection.execute(statement.encode()).fetchone()
            return row[0] if row is not None else None

    async def replayed(self) -> None:
        """Wait until the standby has all commits of the primary."""
        written = self.ask(self.primary, "SELECT pg_current_wal_lsn()::text")

        async def has_all() -> object:
            return self.ask(self.standby, f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn")

        await eventually(has_all, bool)

    async def cut_off(self) -> None:
        """Let the standby get no more commits."""
        with psycopg.connect(self.standby.url(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")

        async def receivers() -> object:
            return self.ask(self.standby, "SELECT count(*) FROM pg_stat_wal_receiver")

        await eventually(receivers, lambda count: count == 0)

    def fail_over(self) -> None:
        self.primary.stop()
        assert self.ask(self.standby, "SELECT pg_promote()") is True


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.standby.remove()
    made.primary.remove()


def read_all(feed: PostgresIndexFeed) -> list[str]:
    return [each.text for each in feed.texts(0, limit=100, max_chars=1 << 20).passages]


async def test_a_fail_over_that_loses_nothing_goes_on(pair: Pair, tmp_path: Path):
    store = PostgresStore(pair.url, limits=LIMITS, max_queued=100, write_timeout=30.0, batch_bytes=1 << 20)
    feed = PostgresIndexFeed(pair.url, history=History(tmp_path / "history"))
    await ingest(store, [document("a")], job_id="job a")
    assert read_all(feed) == ["text of a"]
    await pair.replayed()
    pair.fail_over()
    await ingest(store, [document("b")], job_id="job b")
    assert read_all(feed) == ["text of a", "text of b"]
    feed.close()
    store.close()
    assert find_damage(pair.standby.url()) == []


async def test_a_fail_over_that_loses_commits_is_noticed(pair: Pair, tmp_path: Path):
    store = PostgresStore(pair.url, limits=LIMITS, max_queued=100, write_timeout=30.0, batch_bytes=1 << 20)
    feed = PostgresIndexFeed(pair.url, history=History(tmp_path / "history"))
    await ingest(store, [document("a")], job_id="job a")
    await pair.replayed()
    await pair.cut_off()
    await ingest(store, [document("lost")], job_id="job lost")
    assert read_all(feed) == ["text of a", "text of lost"]
    pair.fail_over()
    await ingest(store, [document("b")], job_id="job b")
    with pytest.raises(StorageUnavailable, match="start the gateway again"):
        read_all(feed)
    feed.close()
    store.close()
    fresh = PostgresIndexFeed(pair.url)
    assert read_all(fresh) == ["text of a", "text of b"]
    fresh.close()
    assert find_damage(pair.standby.url()) == []
