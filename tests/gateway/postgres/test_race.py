"""A follower sees every committed change, whatever the order in which transactions begin and commit.

The negative controls number changes or passages without holding the store's row until the commit. They must fail: else
the tests would prove nothing.
"""

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.postgres.store import PostgresStore
from tandem_gateway.records.documents import EmbeddedBatch, NewDocument, StoredContent
from tests.gateway.postgres.conftest import OpenStore
from tests.gateway.postgres.followers import Follower
from tests.support.fakes import FINGERPRINT, MODEL, WAIT_SECONDS, eventually, vectors_of
from tests.support.stores import NOW, document

WRITERS = 5
STEPS = 40
COLLECTIONS = ("default", "books", "papers")
LIMITS = Limits(collections=10, pending_documents=10**6, finished_jobs=10**6)

# The numbers come from sequences, and nothing orders the commits.
UNORDERED = """
CREATE SEQUENCE changes_taken;
CREATE SEQUENCE passages_taken;
CREATE OR REPLACE FUNCTION advance_v1(changes bigint, passages bigint, catalogues integer,
                                      OUT change_before bigint, OUT passage_before bigint) LANGUAGE plpgsql AS $$
DECLARE
  counted bigint;
  made uuid;
BEGIN
  -- Room for many numbers, as a sequence gives them: a block for each call.
  change_before := nextval('changes_taken') * 10000;
  passage_before := nextval('passages_taken') * 10000;
  PERFORM pg_sleep(random() * 0.005);  -- the rest of the transaction
  UPDATE store s SET commits = s.commits + 1, catalogue = s.catalogue + catalogues,
    last_change = CASE WHEN changes > 0 THEN greatest(s.last_change, change_before + changes) ELSE s.last_change END,
    last_passage = CASE WHEN passages > 0 THEN greatest(s.last_passage, passage_before + passages)
                   ELSE s.last_passage END
    RETURNING s.commits, s.mark INTO counted, made;
  INSERT INTO marks (commit, mark) VALUES (counted, made);
END $$;
"""


async def write(store: PostgresStore, writer: int) -> None:
    """Ingest, embed and delete documents that all writers share, in several collections."""
    chance = random.Random(writer)
    for step in range(STEPS):
        name = chance.choice(COLLECTIONS)
        doc_ids = chance.sample(range(12), 4)
        made = [document(f"d{number}", f"text {writer} {step} {number}") for number in doc_ids]
        await store.accept(f"job-{writer}-{step}", name, made, NOW)
        batch = await store.queue.claim(f"worker{writer}", chance.choice((2, 5)), 60.0)
        if batch is not None:
            ids = [each.passage_id for each in batch.passages]
            vectors = vectors_of([each.text for each in batch.passages])
            await store.queue.complete(EmbeddedBatch(batch.collection_id, ids, vectors, MODEL, FINGERPRINT, NOW))
        if chance.random() < 0.2:
            await store.delete(name, f"d{chance.randrange(12)}")
        if chance.random() < 0.2:
            await store.change_metadata(name, f"d{chance.randrange(12)}", partial(_with_number, step))


def _with_number(number: int, stored: StoredContent) -> NewDocument:
    return document(stored.doc_id, stored.text, f'{{"n":{number}}}')


def run_writers(open_store: OpenStore, url: str, folder: Path) -> Follower:
    """Let writers write while a follower follows, and return the follower."""
    follower = Follower(url, folder)
    done = threading.Event()
    follows = 0

    def follow() -> None:
        nonlocal follows
        while not done.is_set():
            follower.follow()
            follows += 1

    try:
        with ThreadPoolExecutor(WRITERS + 1) as threads:
            following = threads.submit(follow)
            stores = [open_store(limits=LIMITS) for _ in range(WRITERS)]
            writing = [threads.submit(asyncio.run, write(store, number)) for number, store in enumerate(stores)]
            try:
                for each in writing:
                    each.result(WAIT_SECONDS * 10)
            finally:
                done.set()
            following.result(WAIT_SECONDS)
        assert follows > STEPS
    except BaseException:
        follower.close()
        raise
    return follower


def test_a_follower_sees_whatever_several_gateways_write(open_store: OpenStore, url: str, tmp_path: Path):
    follower = run_writers(open_store, url, tmp_path)
    try:
        assert follower.missing() == {}
        assert follower.twice == []
        assert len(follower.texts) > STEPS
    finally:
        follower.close()


def test_the_same_follower_loses_changes_that_sequences_number(url: str, tmp_path: Path):
    with connect(url) as connection:
        connection.execute(UNORDERED)
    stores: list[PostgresStore] = []

    def open_store(**options: Limits) -> PostgresStore:
        stores.append(PostgresStore(url, max_queued=100, write_timeout=30.0, batch_bytes=1 << 20, **options))
        return stores[-1]

    try:
        for attempt in range(5):  # a race may be won by chance
            follower = run_writers(open_store, url, tmp_path / str(attempt))
            try:
                if follower.missing():
                    return
            finally:
                follower.close()
        pytest.fail("the follower saw everything: the test does not notice lost changes")
    finally:
        for store in stores:
            store.close()
        _replace_the_function(url)


def _replace_the_function(url: str) -> None:
    """Give the database its own function back, because other tests use it."""
    from tandem_gateway.adapters.postgres.migrations import SCRIPTS

    script = SCRIPTS[1]
    begin = script.index("CREATE FUNCTION advance_v1")
    definition = script[begin : script.index("$$;", begin) + 3].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    with connect(url) as connection:
        connection.execute(definition)
        connection.execute("DROP SEQUENCE changes_taken")
        connection.execute("DROP SEQUENCE passages_taken")


async def test_a_write_waits_for_the_numbers_of_another_until_that_has_committed(
    open_store: OpenStore, url: str, tmp_path: Path
):
    store = open_store()
    for name in ("default", "books"):
        await store.accept(f"job-{name}", name, [document("a")], NOW)
        batch = await store.queue.claim("worker", 10, 60.0)
        assert batch is not None
        vectors = vectors_of([each.text for each in batch.passages])
        ids = [each.passage_id for each in batch.passages]
        await store.queue.complete(EmbeddedBatch(batch.collection_id, ids, vectors, MODEL, FINGERPRINT, NOW))
    follower = Follower(url, tmp_path)
    before = follower.feed.last_change()
    with connect(url) as first:
        first.execute("BEGIN")
        assert first.execute("SELECT delete_v1('default', 'a', 1.0)").fetchone() == (True,)
        second = asyncio.ensure_future(store.delete("books", "a"))
        assert await eventually(lambda: _waiting_for_a_lock(url), lambda count: count == 1) == 1
        follower.follow()
        assert follower.feed.last_change() == before
        assert not second.done()
        first.execute("COMMIT")
    assert await second
    assert follower.missing() == {}
    assert follower.feed.last_change() == before + 2
    assert sorted(follower.feed.changed_spaces(before)) == sorted(
        record.space_id for record in follower.feed.collections()
    )
    follower.close()


async def _waiting_for_a_lock(url: str) -> int:
    with connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_write_that_waited_for_a_collection_sees_what_the_one_before_it_committed(url: str):
    """A statement that locks and reads at once would read the state from before it waited."""
    with connect(url) as first, connect(url) as second, ThreadPoolExecutor(1) as threads:
        _accept(first, "job1", "one")
        first.execute("BEGIN")
        _accept(first, "job2", "two")
        later = threads.submit(_accept, second, "job3", "three")
        asyncio.run(eventually(lambda: _waiting_for_a_lock(url), lambda count: count == 1))
        first.execute("COMMIT")
        later.result(WAIT_SECONDS)
        rows = first.execute("SELECT text FROM documents").fetchall()
        assert rows == [("three",)]
        assert first.execute("SELECT job_id, status FROM job_outcomes ORDER BY job_id").fetchall() == [
            ("job1", "replaced"),
            ("job2", "replaced"),
        ]


def _accept(connection: psycopg.Connection[tuple[object, ...]], job: str, text: str) -> None:
    from tandem_gateway.adapters.postgres import writes

    writes.accept(connection, writes.Ingest(job, "default", [document("a", text)], NOW, None, ()), LIMITS)
