"""Removed documents: rankings do not count them, and their words leave the file."""

import asyncio
import itertools
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import retention
from tandem_gateway.adapters.sqlite.lexical import file as file_module
from tandem_gateway.adapters.sqlite.lexical import follower as follower_module
from tandem_gateway.adapters.sqlite.lexical import merging as merging_module
from tandem_gateway.adapters.sqlite.lexical import positions as positions_module
from tandem_gateway.adapters.sqlite.lexical import removal as removal_module
from tandem_gateway.adapters.sqlite.lexical import thread as thread_module
from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.ports.text_log import KEYWORDS
from tandem_gateway.records.search import Hit
from tests.gateway.store.lexical import follow, lexical_thread, open_feed
from tests.support.fakes import WAIT_SECONDS, answer_limits, eventually, run
from tests.support.stores import NOW, document, dump, embed_pending, ingest, pending_documents

_jobs = itertools.count()


def fill(store: SqliteStore, texts: dict[str, str]) -> None:
    run(lambda: ingest(store, [document(*item) for item in texts.items()], f"job{next(_jobs)}", "default"))


def delete(store: SqliteStore, *doc_ids: str) -> None:
    async def all_of_them() -> None:
        for doc_id in doc_ids:
            await store.delete("default", doc_id)

    run(all_of_them)


@pytest.fixture
def follower(store: SqliteStore, tmp_path: Path) -> Iterator[LexicalFollower]:
    made = follow(tmp_path, store)
    yield made
    made.close()


def finish(follower: LexicalFollower) -> None:
    while follower.step():
        pass


def search(follower: LexicalFollower, query: str, top_k: int = 50) -> list[Hit]:
    return follower.search("default", query, top_k, time.monotonic() + WAIT_SECONDS)


def file_content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{FILE_NAME}*")))


def test_rarity_counts_only_documents_that_are_there(store: SqliteStore, follower: LexicalFollower):
    texts = {"zebra": "a zebra seen 1", **{f"okapi{n}": f"an okapi seen {n}" for n in range(30)}}
    fill(store, {**texts, **{f"other{n}": f"something else {n}" for n in range(100)}})
    before = search(follower, "zebra okapi")
    assert before[0].doc_id == "zebra"
    gone = {f"gone{n}": f"a zebra gone {n}" for n in range(100)}
    fill(store, gone)
    finish(follower)
    delete(store, *gone)
    finish(follower)
    assert search(follower, "zebra okapi") == before
    assert follower.total == 131


def test_a_search_right_after_a_deletion_does_not_count_it(store: SqliteStore, follower: LexicalFollower):
    fill(store, {"zebra": "a zebra", **{f"okapi{n}": f"an okapi {n}" for n in range(5)}})
    before = search(follower, "zebra okapi")
    fill(store, {"zebra2": "a zebra again"})
    assert len(search(follower, "zebra")) == 2
    delete(store, "zebra2")
    assert search(follower, "zebra okapi") == before


async def test_every_way_in_which_a_passage_goes_is_followed(store: SqliteStore, follower: LexicalFollower):
    await ingest(store, [document(f"d{n}", f"zebra {n}") for n in range(10)], "first", "default")
    finish(follower)

    await store.accept("a", "default", [document("d0", "newer"), document("d1", "newer")], NOW)
    await store.accept("b", "default", [document("d1", "newest")], NOW)  # replaces a pending version
    await store.accept("c", "default", [document("e", "to be refused")], NOW)
    await store.delete("default", "d2")
    finish(follower)
    assert follower.total == 12  # d0 and d1 twice, e, and not d2

    (waiting,) = [each for each in await pending_documents(store, 9) if each.text == "to be refused"]
    await store.queue.fail(waiting.passage_id, "refused")
    await embed_pending(store)
    finish(follower)
    assert follower.total == 9
    assert search(follower, "refused") == []
    assert [hit.doc_id for hit in search(follower, "newest")] == ["d1"]
    follower._cache().check()


@pytest.mark.parametrize("reported", [True, False])
def test_removals_that_the_vector_index_needs_no_more_are_followed(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, reported: bool
):
    follower = follow(tmp_path, store if reported else None)
    fill(store, {f"d{n}": f"zebra {n}" for n in range(10)})
    finish(follower)
    delete(store, "d0", "d5", "d9")
    run(lambda: store.forget_removals(1, 1 << 40))
    assert len(dump(tmp_path)["removals"]) == (3 if reported else 0)
    finish(follower)
    assert follower.total == 7
    assert sorted(hit.doc_id for hit in search(follower, "zebra")) == [f"d{n}" for n in (1, 2, 3, 4, 6, 7, 8)]
    rebuilt = ["the keyword index is outdated and is rebuilt"]
    assert [record.message for record in caplog.records] == ([] if reported else rebuilt)
    follower.close()


async def test_removals_go_once_both_indexes_have_applied_them(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(positions_module, "_REPORT_SECONDS", 0.0)
    follower = follow(tmp_path, store)
    await ingest(store, [document(f"d{n}") for n in range(4)])
    finish(follower)
    await store.delete("default", "d1")
    await store.accept("waits", "default", [document("e")], NOW)
    await store.delete("default", "e")  # the keyword index never had it
    await store.forget_removals(1, 1 << 40)
    assert len(dump(tmp_path)["removals"]) == 2
    finish(follower)

    async def left() -> int:
        return len(dump(tmp_path)["removals"])

    await eventually(left, lambda rows: rows == 0)
    follower.close()
    again = follow(tmp_path, store)
    await store.delete("default", "d2")
    finish(again)
    assert again.notices == []
    assert again.total == 2
    again.close()


def test_a_position_is_on_the_disk_before_it_is_reported(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(positions_module, "_REPORT_SECONDS", 0.0)
    synced: list[str] = []
    monkeypatch.setattr(file_module, "sync", lambda path: synced.append(path.name))
    reported: list[int] = []

    def record(positions: Mapping[int, int]) -> Future[int]:
        assert synced == [f"{FILE_NAME}-wal", tmp_path.name]
        synced.clear()
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as index:
            assert dict(index.execute("SELECT collection_id, change FROM collections")) == positions
        reported.extend(positions.values())
        return store.record_positions(KEYWORDS, positions)

    follower = LexicalFollower(tmp_path, open_feed(tmp_path), record=record)
    fill(store, {f"d{n}": f"zebra {n}" for n in range(3)})
    finish(follower)
    delete(store, "d0")
    finish(follower)
    fill(store, {"d3": "zebra"})  # adds a vector, and removes nothing
    finish(follower)
    assert reported == [3, 4, 5]
    follower.close()


async def test_removals_of_a_collection_that_the_index_has_nothing_of_are_forgotten_too(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(positions_module, "_REPORT_SECONDS", 0.0)
    follower = follow(tmp_path, store)
    await store.accept("waits", "books", [document("e")], NOW)
    await store.delete("books", "e")
    await store.forget_removals(2, 1 << 40)
    await store.accept("waits2", "books", [document("e")], NOW)
    await store.delete("books", "e")
    finish(follower)

    async def followers() -> set[str]:
        return {row[1] for row in dump(tmp_path)["followers"] if row[0] == 2 and row[2] >= 2}

    await eventually(followers, lambda found: "keywords" in found)
    await store.forget_removals(2, 1 << 40)
    assert dump(tmp_path)["removals"] == []
    assert follower.total == 0
    follower.close()


async def test_an_index_that_cannot_be_written_keeps_no_more_removals_than_the_limit(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "REMOVALS_KEPT", 3)
    follower = follow(tmp_path, store)
    await ingest(store, [document(f"d{n}", f"zebra {n}") for n in range(10)])
    finish(follower)
    for number in range(5):
        await store.delete("default", f"d{number}")
    await store.forget_removals(1, 1 << 40)
    assert len(dump(tmp_path)["removals"]) == 3
    finish(follower)  # it has missed two and starts over
    assert sorted(hit.doc_id for hit in search(follower, "zebra")) == [f"d{n}" for n in range(5, 10)]
    assert follower.total == 5
    follower.close()


def test_an_index_of_documents_with_several_passages_is_whole(
    store: SqliteStore, follower: LexicalFollower, caplog: pytest.LogCaptureFixture
):
    fill(store, {f"d{n}": f"zebra {n}" for n in range(5)})
    finish(follower)
    follower._feed.passage_count = lambda collection_id: 6  # type: ignore[method-assign]
    follower._cache()._counts[1] = 6
    finish(follower)
    assert caplog.records == []
    follower._cache()._counts[1] = 5
    follower._feed.passage_count = lambda collection_id: 5  # type: ignore[method-assign]
    finish(follower)
    assert caplog.records == []


def test_words_and_texts_of_removed_documents_leave_the_file(
    store: SqliteStore, follower: LexicalFollower, tmp_path: Path
):
    fill(store, {f"d{n}": f"ordinary filler {n} about gardens" for n in range(300)})
    # Too varied for zlib to shorten, so it would also be visible in the compressed text.
    fill(store, {"secret": "canaryqx7 zkw93vbq"})
    finish(follower)
    assert b"canaryqx7" in file_content(tmp_path)
    delete(store, "secret", *(f"d{n}" for n in range(30)))
    finish(follower)
    assert b"canaryqx7" not in file_content(tmp_path)
    assert b"zkw93vbq" not in file_content(tmp_path)
    assert len(search(follower, "filler", 500)) == 270
    follower._cache().check()


def test_long_documents_are_removed_a_few_at_a_time(
    store: SqliteStore, follower: LexicalFollower, monkeypatch: pytest.MonkeyPatch
):
    fill(store, {f"d{n}": f"zebra {n} " + "long " * 100 for n in range(10)})
    finish(follower)
    monkeypatch.setattr(removal_module, "_PAGE_CHARS", 600)
    monkeypatch.setattr(follower_module, "_SEARCH_REMOVED_CHARS", 600)
    delete(store, *(f"d{n}" for n in range(8)))
    assert len(search(follower, "zebra")) == 2
    assert follower.total == 8, "a search removes two of them"
    run(lambda: store.forget_removals(1, 1 << 40))  # which the store keeps for the keyword index
    while follower.total > 2:
        before = follower.total
        assert follower.step()
        assert before - follower.total <= 2
    finish(follower)
    assert sorted(hit.doc_id for hit in search(follower, "zebra")) == ["d8", "d9"]


def test_documents_without_a_term_come_and_go(store: SqliteStore, follower: LexicalFollower):
    fill(store, {"none": "!!!", "one": "zebra"})
    finish(follower)
    assert follower.total == 2
    delete(store, "none")
    finish(follower)
    assert follower.total == 1
    assert [hit.doc_id for hit in search(follower, "zebra")] == ["one"]
    delete(store, "one")
    finish(follower)
    assert search(follower, "zebra") == []
    follower._cache().check()


def test_a_search_skips_deleted_passages_despite_a_full_disk(
    store: SqliteStore, follower: LexicalFollower, monkeypatch: pytest.MonkeyPatch
):
    fill(store, {f"d{n}": f"zebra {n}" for n in range(5)})
    finish(follower)
    delete(store, "d2")

    def full(*_: object) -> int:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(LexicalCache, "remove", full)
    assert [hit.doc_id for hit in search(follower, "zebra", 4)] == ["d0", "d1", "d3", "d4"]


def test_counts_that_cannot_be_are_damage(store: SqliteStore, follower: LexicalFollower):
    fill(store, {f"d{n}": f"zebra {n}" for n in range(5)})
    finish(follower)
    follower._cache()._counts[1] = 4
    assert follower.step()  # the index is deleted
    finish(follower)
    assert follower.total == 5
    follower._cache()._counts[1] = 6
    while follower.step():
        pass
    assert follower.total == 5


def test_a_dropped_collection_leaves_the_file(store: SqliteStore, follower: LexicalFollower, tmp_path: Path):
    fill(store, {"secret": "canaryqx7 zkw93vbq"})
    finish(follower)
    run(lambda: store.delete_collection("default"))
    finish(follower)
    assert b"canaryqx7" not in file_content(tmp_path)


async def test_a_single_removal_is_merged_away_when_its_time_has_come(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(thread_module, "_IDLE_SECONDS", 0.01)

    texts = {"secret": "canaryqx7", **{f"d{n}": f"filler {n}" for n in range(100)}}
    await ingest(store, [document(*item) for item in texts.items()])
    lexical = lexical_thread(tmp_path, answer_limits())
    lexical.start().result(WAIT_SECONDS)
    await lexical.search("default", "filler", 1, timeout=WAIT_SECONDS)
    await store.delete("default", "secret")

    async def waiting() -> bool:
        return bool(lexical._require_follower()._merging._waiting_since)

    await eventually(waiting, lambda something: something)
    assert b"canaryqx7" in file_content(tmp_path)
    monkeypatch.setattr(merging_module, "_MERGE_SECONDS", 0.0)  # no other event: the idle thread checks by itself
    await eventually(waiting, lambda something: not something)
    assert b"canaryqx7" not in file_content(tmp_path)
    await asyncio.to_thread(lexical.close)


def test_a_merge_that_was_killed_is_done_after_the_restart(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = follow(tmp_path)
    fill(store, {"secret": "canaryqx7", **{f"d{n}": f"filler {n}" for n in range(5)}})
    finish(first)
    monkeypatch.setattr(merging_module, "_REMOVED_SHARE", 2.0)
    delete(store, "secret")
    finish(first)
    assert first._cache().removed(1) == 1
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob("*sqlite3*"):
        shutil.copyfile(path, left / path.name)
    first.close()
    monkeypatch.setattr(merging_module, "_REMOVED_SHARE", 0.1)
    second = follow(left)
    assert second.notices == []
    finish(second)
    assert second._cache().removed(1) == 0
    assert b"canaryqx7" not in file_content(left)
    second.close()
