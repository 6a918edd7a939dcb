"""The command ``move``: everything arrives, and a store goes on as it would have without it."""

import sqlite3
from pathlib import Path

from tandem_gateway import maintenance
from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.postgres.key_store import PostgresKeyStore
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.composition import stores
from tandem_gateway.index.builder import Sizes
from tandem_gateway.settings import Settings
from tests.gateway.moving import corpus
from tests.gateway.moving.stores_to_move import command, content, move, open_postgres
from tests.gateway.ports.backends import InPostgres
from tests.support import pgbouncer
from tests.support.postgres_check import find_damage
from tests.support.stores import NOW, complete, document, ingest, opened


def test_a_store_comes_back_from_postgres_as_it_was(directory: Path, tmp_path: Path, url: str):
    target = tmp_path / "target"
    before = content(directory)
    for table, rows in before.items():
        assert rows, table  # else the test would not see that a table is left out
    there = command(directory, url, "move", "--to", "postgres")
    assert (there.returncode, there.stderr) == (0, "")
    lines = there.stdout.splitlines()
    assert lines[0] == "store: sound"
    assert [line.split(": ")[0] for line in lines if line.endswith("on both sides")][:3] == [
        "collections",
        "spaces",
        "documents",
    ]
    assert lines[-1].startswith("moved: 6 collections, ")
    assert find_damage(url) == []
    back = move(target, pgbouncer.bouncer().through(url), "directory")
    # The same rows have the same checksums, whatever the way; the numbers of documents differ.
    same = ("vectors:", "jobs:", "removals:", "keys:")
    assert [line for line in lines if line.startswith(same)] == [line for line in back if line.startswith(same)]
    assert content(directory) == before
    assert content(target) == before
    assert sorted(path.name for path in target.iterdir() if path.suffix != ".lock") == [
        "access.db",
        "access.secret",
        "committed",
        FILE_NAME,
    ]
    with sqlite3.connect(directory / FILE_NAME) as old, sqlite3.connect(target / FILE_NAME) as new:
        ids = [each.execute("SELECT store_id FROM identity").fetchone() for each in (old, new)]
    with connect(url) as connection:
        ids.append(connection.execute("SELECT store_id FROM store").fetchone())
    assert len(set(ids)) == 3  # no cache of one is taken for one of another


def test_the_indexes_are_built_from_a_moved_store(directory: Path, tmp_path: Path, url: str):
    move(directory, url, "postgres")
    target = tmp_path / "target"
    shared = stores.open_shared(Settings(data_dir=target, store_url=url))
    maintenance.rebuild(target, Sizes(), _ignore, shared)
    assert maintenance.verify(target, _ignore, shared)
    move(target, url, "directory")
    assert not (target / "index").exists()  # these were caches of the database
    maintenance.rebuild(target, Sizes(), _ignore)
    assert maintenance.verify(target, _ignore)


def _ignore(line: str) -> None:
    pass


async def test_a_store_that_was_made_in_postgres_moves_too(tmp_path: Path, url: str):
    backend = InPostgres(tmp_path)
    store = backend.open(corpus.LIMITS)
    (made,) = backend._stores
    await corpus.fill(backend, store)
    keys = PostgresKeyStore(made)
    await corpus.fill_keys(keys)
    keys.close()
    store.close()
    move(tmp_path / "first", made, "directory")
    move(tmp_path / "first", url, "postgres")
    move(tmp_path / "second", url, "directory")
    assert content(tmp_path / "first") == content(tmp_path / "second")
    assert find_damage(url) == []
    backend.close()


async def test_a_moved_store_goes_on(directory: Path, tmp_path: Path, url: str):
    with opened(directory, corpus.LIMITS) as store:
        while await _embed(store):
            pass
        retried = await store.retry("failed", NOW + 9)
        wanted = {record.name: record.live for record in await store.collections()}
        waiting = {record.name: record.pending for record in await store.collections()}
    move(directory, url, "postgres")
    store = open_postgres(url)
    assert retried is not None
    try:
        assert {record.name: record.pending for record in await store.collections()} == waiting
        while await _embed(store):
            pass
        # New documents of several collections have the same numbers within them, and also those of new collections.
        for name in ("default", "papers", "made-later", "made-too"):
            await ingest(store, [document(f"new-{number}") for number in range(3)], f"new-{name}", name)
            wanted[name] = wanted.get(name, 0) + 3
        wanted["papers"] += waiting["papers"]
        await store.accept("last", "made-too", [document("waits")], NOW)
    finally:
        store.close()
    assert find_damage(url) == []
    move(tmp_path / "target", url, "directory")
    with opened(tmp_path / "target", corpus.LIMITS) as back:
        assert {record.name: record.live for record in await back.collections()} == wanted
        wanted["made-too"] += 1
        while await _embed(back):
            pass
        await ingest(back, [document("newest")], "newest", "made-later")
        wanted["made-later"] += 1
        assert {record.name: record.live for record in await back.collections()} == wanted
        job = await back.job("last")
        assert job is not None
        assert job.state == "completed"
        page = await back.job_documents("waiting", 0, 10, None)
        assert page is not None
        assert [(each.doc_id, each.status) for each in page.documents] == [("d010", "embedded"), ("w1", "embedded")]


async def _embed(store: object) -> int:
    """Embed some documents by the model of their collection; return how many."""
    batch = await store.queue.claim("test", 1000, 60.0)
    return 0 if batch is None else await complete(store, batch)
