"""Indexes that have the position which a search needs answer it without asking the store."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.records.search import Hits
from tests.gateway.index.threads import ask, query
from tests.gateway.postgres.conftest import OpenStore
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.stores import document, ingest

AT_ONCE = 30.0


class CountingFeed(PostgresIndexFeed):
    """A feed that counts how often it looks for commits."""

    looks = 0

    def version(self) -> int:
        self.looks += 1
        return super().version()


@pytest.fixture
def feed(url: str) -> CountingFeed:
    return CountingFeed(url)


@pytest.fixture
def thread(feed: CountingFeed, tmp_path: Path) -> Iterator[IndexThread]:
    made = IndexThread(lambda: feed, Snapshots(tmp_path), UsearchGraphFactory(), answer_limits(), in_loop=False)
    made.start().result(WAIT_SECONDS)
    yield made
    made.close()


def found(thread: IndexThread, text: str, at_least: int | None) -> list[str]:
    (answer,) = ask(thread, [msgspec.structs.replace(query(text), at_least=at_least)])
    assert isinstance(answer, Hits), answer
    return [hit.doc_id for hit in answer]


async def test_vector_search(open_store: OpenStore, thread: IndexThread, feed: CountingFeed):
    store = open_store()
    await ingest(store, [document("a")], "job 1")
    first = store.position.last
    assert found(thread, "text of a", None) == ["a"]
    await ingest(store, [document("b")], "job 2")
    second = store.position.last
    looks = feed.looks
    assert found(thread, "text of a", first) == ["a"]
    assert feed.looks == looks
    assert found(thread, "text of b", second) == ["b", "a"]
    assert feed.looks == looks + 1
    assert found(thread, "text of b", second) == ["b", "a"]
    assert feed.looks == looks + 1
    # A position that the indexes do not have is looked for each time.
    assert found(thread, "text of b", second + 1) == ["b", "a"]
    assert feed.looks == looks + 2


async def test_a_batch_asks_if_one_of_its_queries_does(open_store: OpenStore, thread: IndexThread):
    store = open_store()
    await ingest(store, [document("a")], "job 3")
    assert found(thread, "text of a", None) == ["a"]
    await ingest(store, [document("b")], "job 4")
    old = msgspec.structs.replace(query("text of b"), at_least=0)
    answers = ask(thread, [old, query("text of b")])
    assert [[hit.doc_id for hit in answer] for answer in answers if isinstance(answer, Hits)] == [["b", "a"]] * 2


async def test_a_replaced_document_does_not_vanish_from_an_old_position(open_store: OpenStore, thread: IndexThread):
    store = open_store()
    await ingest(store, [document("a"), document("b")], "job 5")
    assert len(found(thread, "text of a", None)) == 2
    first = store.position.last
    await ingest(store, [document("a", "another text")], "job 6")
    assert sorted(found(thread, "something", first)) == ["a", "b"]


async def test_keyword_search(open_store: OpenStore, feed: CountingFeed, tmp_path: Path):
    store = open_store()
    follower = LexicalFollower(tmp_path, feed)

    def words(text: str, at_least: int | None) -> list[str]:
        until = time.monotonic() + AT_ONCE
        hits = follower.search("default", text, 3, until, at_least=at_least)
        ranked = follower.retrieve("default", text, 3, until, at_least=at_least).passages
        assert len(ranked) == len(hits)
        return sorted(hit.doc_id for hit in hits)

    await ingest(store, [document("a"), document("b")], "job 7")
    first = store.position.last
    assert words("text", None) == ["a", "b"]
    await ingest(store, [document("c")], "job 8")
    second = store.position.last
    looks = feed.looks
    assert words("text", first) == ["a", "b"]
    assert follower.retrieve_in_memory("default", "text", 3, at_least=first) is not None
    assert feed.looks == looks
    assert follower.retrieve_in_memory("default", "text", 3, at_least=second) is None
    assert words("text", second) == ["a", "b", "c"]
    # Of a document that was replaced since, the index knows the former text only: the search asks the store.
    await ingest(store, [document("a", "other text")], "job 9")
    assert words("text", second)[:1] == ["a"]
    # A document that waits for its vector is in the index beside the version that search finds.
    await store.accept("another job", "default", [document("b", "waiting text")], 0.0)
    assert words("text", store.position.last) == ["a", "b", "c"]
    looks = feed.looks
    assert words("text", store.position.last) == ["a", "b", "c"]
    assert feed.looks > looks
    follower.close()
