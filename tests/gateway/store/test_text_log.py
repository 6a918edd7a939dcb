"""The log of texts and removals that the keyword index follows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.ports.text_log import TextFeed
from tandem_gateway.records.texts import PassageText
from tests.gateway.store.lexical import open_feed
from tests.support.stores import NOW, document, embed_pending, ingest


@pytest.fixture
def feed(store: SqliteStore, tmp_path: Path) -> Iterator[TextFeed]:
    made = open_feed(tmp_path)
    yield made
    made.close()


async def test_texts_come_in_pages_by_number_and_characters(store: SqliteStore, feed: TextFeed):
    assert feed.texts(0, limit=9, max_chars=9).passages == []
    await store.accept("job", "default", [document(name, name * 10) for name in "abc"], NOW)
    await store.accept("job2", "books", [document("d", "d" * 10)], NOW)
    whole = [PassageText(1, 1, "a" * 10), PassageText(2, 1, "b" * 10), PassageText(3, 1, "c" * 10)]
    whole.append(PassageText(4, 2, "d" * 10))
    page = feed.texts(0, limit=9, max_chars=100)
    assert (page.passages, page.upto) == (whole, 4)
    page = feed.texts(0, limit=3, max_chars=100)
    assert (page.passages, page.upto) == (whole[:3], 3)
    page = feed.texts(1, limit=9, max_chars=11)
    assert (page.passages, page.upto) == (whole[1:3], 3)
    page = feed.texts(1, limit=9, max_chars=1)
    assert (page.passages, page.upto) == (whole[1:2], 2)
    await store.delete("books", "d")
    page = feed.texts(3, limit=9, max_chars=100)
    assert (page.passages, page.upto, feed.last_passage()) == ([], 4, 4)


async def test_removals_come_in_pages_and_say_if_earlier_ones_are_gone(store: SqliteStore, feed: TextFeed):
    await ingest(store, [document(name) for name in "abc"])  # changes 1 to 3
    for name in "cab":
        await store.delete("default", name)
    page = feed.removals(1, after=0, limit=2)
    assert ([tuple(each) for each in page.removals], page.whole) == ([(3, 4), (1, 5)], True)
    page = feed.removals(1, after=5, limit=2)
    assert ([tuple(each) for each in page.removals], page.whole) == ([(2, 6)], True)
    await store.forget_removals(1, 5)
    assert [feed.removals(1, after=after, limit=9).whole for after in (4, 5, 6)] == [False, True, True]
    assert [tuple(each) for each in feed.removals(1, after=0, limit=9).removals] == [(2, 6)]


async def test_the_body_of_reading_sees_one_state(store: SqliteStore, feed: TextFeed):
    await ingest(store, [document("a")])
    with feed.reading():
        assert feed.last_passage() == 1
        await store.delete("default", "a")
        await store.accept("job2", "default", [document("b")], NOW)
        assert (feed.last_passage(), feed.last_change(), feed.findable([1, 2])) == (1, 1, {1})
        assert feed.removals(1, after=0, limit=9).removals == []
        assert list(feed.passages([1])) == [1]
    assert (feed.last_passage(), feed.findable([1, 2])) == (2, {2})


async def test_keyword_search_may_show_live_documents_and_new_pending_ones(store: SqliteStore, feed: TextFeed):
    await ingest(store, [document("a"), document("b")])
    await store.accept("job2", "default", [document("a", "newer"), document("c")], NOW)
    assert feed.findable([1, 2, 3, 4, 9]) == {1, 2, 4}
    assert feed.passage_count(1) == 4
    assert sorted(feed.text_ids(1).tolist()) == [1, 2, 3, 4]
    await embed_pending(store)
    assert feed.findable([1, 2, 3, 4]) == {2, 3, 4}
    record = feed.collection("default")
    assert record is not None
    assert (record.live, feed.passage_count(1), feed.collection("nowhere")) == (3, 3, None)


async def test_the_version_differs_after_each_commit(store: SqliteStore, feed: TextFeed):
    versions = [feed.version(), feed.version()]
    await ingest(store, [document("a")])
    versions.append(feed.version())
    with feed.reading():
        feed.last_passage()
        versions.append(feed.version())
    await store.delete("default", "a")
    versions.append(feed.version())
    assert versions[0] == versions[1] != versions[2] == versions[3] != versions[4]
