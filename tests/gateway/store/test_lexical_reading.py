"""What a keyword search reads from the store: nothing if it has not changed, and always one state of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.records.search import RankedPassage
from tests.gateway.store.lexical import fill, finish, found, open_feed
from tests.support.fakes import WAIT_SECONDS, run
from tests.support.stores import NOW, document


class Watched:
    """A feed that records its calls, and calls a function before one of them."""

    def __init__(self, feed: SqliteIndexFeed) -> None:
        self._feed = feed
        self.calls: list[str] = []
        self.before: tuple[str, Callable[[], None]] | None = None

    def __getattr__(self, name: str) -> Any:
        if self.before is not None and self.before[0] == name:
            _, act = self.before
            self.before = None
            act()
        self.calls.append(name)
        return getattr(self._feed, name)


@pytest.fixture
def feed(store: SqliteStore, tmp_path: Path) -> Watched:
    return Watched(open_feed(tmp_path))


@pytest.fixture
def follower(store: SqliteStore, tmp_path: Path, feed: Watched) -> Iterator[LexicalFollower]:
    fill(store)
    made = LexicalFollower(tmp_path, feed)
    finish(made)
    yield made
    made.close()


def retrieved(follower: LexicalFollower, query: str) -> list[RankedPassage]:
    return follower.retrieve("default", query, 10, time.monotonic() + WAIT_SECONDS).passages


def test_a_search_of_an_unchanged_store_reads_its_version_alone(follower: LexicalFollower, feed: Watched) -> None:
    first = retrieved(follower, "cat tea")
    feed.calls.clear()
    assert retrieved(follower, "cat tea") == first != []
    assert set(feed.calls) == {"version"}


def test_a_change_is_found_by_the_next_search(store: SqliteStore, follower: LexicalFollower, feed: Watched) -> None:
    assert found(follower, "cat") == found(follower, "cat") == ["cat", "cats"]
    run(lambda: store.delete("default", "cat"))
    assert found(follower, "cat") == ["cats"]
    fill(store, {"kitten": "a cat that is young"})
    assert sorted(found(follower, "cat")) == ["cats", "kitten"]
    feed.calls.clear()
    retrieved(follower, "cat")
    assert set(feed.calls) == {"version"}


def test_a_version_that_waits_for_its_vector_is_not_shown(store: SqliteStore, follower: LexicalFollower) -> None:
    assert found(follower, "cat") == found(follower, "cat") == ["cat", "cats"]
    run(lambda: store.accept("newer", "default", [document("cat", "cat cat cat")], NOW))
    for _ in range(3):
        assert found(follower, "cat") == ["cat", "cats"]


def test_a_search_during_which_the_store_changes_begins_again(
    store: SqliteStore, follower: LexicalFollower, feed: Watched
) -> None:
    assert found(follower, "cat") == found(follower, "cat")
    feed.before = ("passages", lambda: fill(store, {"cat": "the newer cat"}))
    assert sorted(found(follower, "cat")) == ["cat", "cats"]
    assert feed.before is None
    assert sorted(found(follower, "cat")) == ["cat", "cats"]
    feed.before = ("passages", lambda: run(lambda: store.delete("default", "cat")))
    assert found(follower, "cat") == ["cats"]


def test_a_change_before_the_first_read_is_not_taken_for_the_state_that_was_read(
    store: SqliteStore, follower: LexicalFollower, feed: Watched
) -> None:
    fill(store, {"tiger": "a large cat"})
    feed.before = ("last_passage", lambda: fill(store, {"lion": "another large cat"}))
    assert "tiger" in found(follower, "cat")
    assert sorted(found(follower, "cat")) == ["cat", "cats", "lion", "tiger"]


def test_a_collection_that_was_made_again(store: SqliteStore, follower: LexicalFollower) -> None:
    assert found(follower, "cat") == found(follower, "cat") == ["cat", "cats"]
    run(lambda: store.delete_collection("default"))
    fill(store, {"lynx": "a cat of the woods"})
    assert found(follower, "cat") == found(follower, "cat") == ["lynx"]
