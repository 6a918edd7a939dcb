"""The keyword index over the real store: it finds exactly the store's documents."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import index_reads
from tandem_gateway.adapters.sqlite.lexical import searcher as searcher_module
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.analysis.query_syntax import parse
from tandem_gateway.errors import (
    DeadlineExceeded,
    NotFound,
    TooManyBytes,
)
from tandem_gateway.records.search import PassageView
from tests.gateway.store.lexical import fill, finish, follow, found
from tests.support.fakes import WAIT_SECONDS, run
from tests.support.stores import NOW, document, embed_pending


@pytest.fixture
def follower(store: SqliteStore, tmp_path: Path) -> Iterator[LexicalFollower]:
    fill(store)
    made = follow(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cat", ["cat", "cats"]),
        ("steeped leaf", ["tea"]),
        ("CAFE pres", ["cafe"]),
        ("hello-world", ["code"]),
        ("c++", ["code"]),
        ("snake", ["code"]),
        ("minutes OR nothing AND (", ["tea", "cats", "code"]),
        ("zebra", []),
        ("!!!", []),
    ],
)
def test_finds_by_words(follower: LexicalFollower, query: str, expected: list[str]):
    assert sorted(found(follower, query)) == sorted(expected)


def test_the_best_come_first_and_no_more_than_asked_for(follower: LexicalFollower):
    assert found(follower, "tea cat") == ["tea", "cat", "cats"] or found(follower, "tea cat")[0] == "tea"
    assert found(follower, "the", 1) == found(follower, "the")[:1]


def test_of_equal_hits_the_one_that_was_stored_first_comes_first(follower: LexicalFollower, store: SqliteStore):
    fill(store, {f"same{number}": "quite the same words" for number in (3, 1, 2)})
    assert found(follower, "same") == ["same3", "same1", "same2"]


async def test_acknowledged_documents_are_found_at_once_and_deleted_ones_are_not(
    follower: LexicalFollower, store: SqliteStore
):
    await store.accept("more", "default", [document("new", "a zebra waits"), document("cat", "a zebra now")], NOW)
    assert found(follower, "zebra") == ["new"]  # of "cat"; dense search still finds the older version
    assert "cat" in found(follower, "mat")
    await embed_pending(store)
    assert sorted(found(follower, "zebra")) == ["cat", "new"]
    assert found(follower, "mat") == []
    await store.delete("default", "new")
    assert found(follower, "zebra") == ["cat"]


def test_collections_are_searched_apart(follower: LexicalFollower, store: SqliteStore):
    fill(store, {"other": "a cat elsewhere"}, "books")
    assert found(follower, "cat", collection="books") == ["other"]
    assert "other" not in found(follower, "cat")
    run(lambda: store.delete_collection("books"))
    with pytest.raises(NotFound, match="books"):
        found(follower, "cat", collection="books")
    finish(follower)
    assert found(follower, "cat") == ["cat", "cats"] or found(follower, "cat") == ["cats", "cat"]
    fill(store, {"again": "a cat again"}, "books")
    assert found(follower, "cat", collection="books") == ["again"]


def test_deleted_rows_do_not_push_hits_out(follower: LexicalFollower, store: SqliteStore):
    for number in range(60):
        fill(store, {"often": f"zebra zebra zebra {number}"})
    fill(store, {"once": "there was a zebra among many other animals of the plain"})
    assert found(follower, "zebra", 2) == ["often", "once"]
    assert found(follower, "zebra", 1) == ["often"]


async def test_passages_are_retrieved_in_the_order_of_the_hits(follower: LexicalFollower, store: SqliteStore):
    until = time.monotonic() + WAIT_SECONDS
    hits = follower.search("default", "cats or tea", 3, until)
    candidates = follower.retrieve("default", "cats or tea", 3, until)
    assert [(each.score, each.lexical, each.dense) for each in candidates.passages] == [
        (hit.score, hit.score, None) for hit in hits
    ]
    assert 0 < candidates.passages[0].score < candidates.weight
    assert follower.retrieve("default", "zebra", 3, until).passages == []
    with pytest.raises(NotFound, match="nowhere"):
        follower.retrieve("nowhere", "cat", 3, until)


def test_a_search_ends_at_its_deadline(follower: LexicalFollower):
    finish(follower)
    with pytest.raises(DeadlineExceeded):
        follower.search("default", "cat", 5, time.monotonic())
    assert found(follower, "cat", 1)


def test_a_search_that_takes_long_is_interrupted(follower: LexicalFollower, monkeypatch: pytest.MonkeyPatch):
    finish(follower)
    monkeypatch.setattr(searcher_module, "_PROGRESS_STEPS", 1)
    answers = iter([False, False, False])
    with pytest.raises(DeadlineExceeded):
        follower._cache().searcher.search(1, parse("the"), 5, lambda: next(answers, True))
    assert found(follower, "cat", 1)


def test_an_answer_over_its_limit_is_refused_before_its_texts_are_read(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(store, {f"d{number}": f"zebra {number} " + "x" * 100_000 for number in range(8)})
    follower = follow(tmp_path)
    read: list[int] = []
    monkeypatch.setattr(index_reads, "PassageView", lambda *row: read.append(row[0]) or PassageView(*row))
    deadline = time.monotonic() + WAIT_SECONDS
    with pytest.raises(TooManyBytes):
        follower.search("default", "zebra", 8, deadline, 250_000)
    assert len(read) <= 4
    read.clear()
    assert len(follower.search("default", "zebra", 2, deadline, 250_000)) == 2
    assert len(read) == 2
    follower.close()


def test_a_word_that_was_searched_before_it_was_there_is_found(follower: LexicalFollower, store: SqliteStore):
    fill(store, {f"d{number}": f"filler {number}" for number in range(200)})
    assert found(follower, "zebra") == []
    fill(store, {"new": "a zebra at last"})
    assert found(follower, "zebra") == ["new"]


def test_a_shorter_list_is_the_beginning_of_a_longer_one(follower: LexicalFollower, store: SqliteStore):
    fill(store, {f"same{number}": "the very same zebra" for number in range(30)})
    fill(store, {f"d{number}": f"zebra {'okapi ' * (number % 5)}" for number in range(30)})
    longest = found(follower, "zebra okapi", 60)
    assert len(longest) == 60
    for top_k in (1, 2, 5, 17, 59):
        assert found(follower, "zebra okapi", top_k) == longest[:top_k]
    same = [doc_id for doc_id in longest if doc_id.startswith("same")]
    assert same == [f"same{number}" for number in range(30)]
