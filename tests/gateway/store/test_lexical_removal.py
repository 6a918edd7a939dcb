"""Removed documents: rankings do not count them, and their words leave the file."""

import asyncio
import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.lexical import follower as follower_module
from tandem_gateway.adapters.sqlite.lexical import removal as removal_module
from tandem_gateway.adapters.sqlite.lexical import thread as thread_module
from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.records.search import Hit
from tests.support.fakes import WAIT_SECONDS, answer_limits, eventually, run
from tests.support.stores import NOW, document, embed_pending, ingest, pending_documents

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
    made = LexicalFollower(tmp_path)
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


async def test_every_way_in_which_a_row_goes_is_followed(
    store: SqliteStore, follower: LexicalFollower, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(removal_module, "_PAGE_COMPARED", 3)
    await ingest(store, [document(f"d{n}", f"zebra {n}") for n in range(10)], "first", "default")
    finish(follower)

    await store.accept("a", "default", [document("d0", "newer"), document("d1", "newer")], NOW)
    await store.accept("b", "default", [document("d1", "newest")], NOW)  # replaces a pending row
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


def test_rows_whose_removals_are_forgotten_are_found_by_comparison(
    store: SqliteStore, follower: LexicalFollower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(removal_module, "_PAGE_COMPARED", 2)
    fill(store, {f"d{n}": f"zebra {n}" for n in range(10)})
    finish(follower)
    delete(store, "d0", "d5", "d9")
    run(lambda: store.forget_removals(1, 1 << 40))
    finish(follower)
    assert follower.total == 7
    assert sorted(hit.doc_id for hit in search(follower, "zebra")) == [f"d{n}" for n in (1, 2, 3, 4, 6, 7, 8)]


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
    run(lambda: store.forget_removals(1, 1 << 40))  # a comparison finds the others
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


def test_a_search_skips_deleted_rows_despite_a_full_disk(
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
    lexical = LexicalThread(tmp_path, max_queued=4, limits=answer_limits())
    lexical.start().result(WAIT_SECONDS)
    await lexical.search("default", "filler", 1, timeout=WAIT_SECONDS)
    await store.delete("default", "secret")

    async def waiting() -> bool:
        return bool(lexical._require_follower()._unmerged_since)

    await eventually(waiting, lambda something: something)
    assert b"canaryqx7" in file_content(tmp_path)
    monkeypatch.setattr(follower_module, "_MERGE_SECONDS", 0.0)  # no other event: the idle thread checks by itself
    await eventually(waiting, lambda something: not something)
    assert b"canaryqx7" not in file_content(tmp_path)
    await asyncio.to_thread(lexical.close)


def test_a_merge_that_was_killed_is_done_after_the_restart(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = LexicalFollower(tmp_path)
    fill(store, {"secret": "canaryqx7", **{f"d{n}": f"filler {n}" for n in range(5)}})
    finish(first)
    monkeypatch.setattr(follower_module, "_REMOVED_SHARE", 2.0)
    delete(store, "secret")
    finish(first)
    assert first._cache().removed(1) == 1
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob("*sqlite3*"):
        shutil.copyfile(path, left / path.name)
    first.close()
    monkeypatch.setattr(follower_module, "_REMOVED_SHARE", 0.1)
    second = LexicalFollower(left)
    assert second.notices == []
    finish(second)
    assert second._cache().removed(1) == 0
    assert b"canaryqx7" not in file_content(left)
    second.close()
