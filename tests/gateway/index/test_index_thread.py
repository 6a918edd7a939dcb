"""The index's thread over the real store: what was acknowledged is found, and what is found is what is stored."""

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tandem_gateway import maintenance
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.change_feed import SqliteChangeFeed
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import (
    FingerprintMismatch,
    GatewayError,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    SnapshotUnusable,
    StorageUnavailable,
    for_log,
)
from tandem_gateway.index import catch_up, findable
from tandem_gateway.index.base import SEARCH_EFFORT, SECOND_EFFORT
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.findable import FindableIndex
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.records.notices import RoutineNotice
from tandem_gateway.records.search import Hit, Hits
from tandem_runtime.memory import MemoryBudget
from tests.support.fakes import DIM, FINGERPRINT, WAIT_SECONDS, answer_limits, answered, vector_of, vectors_of
from tests.support.stores import document, embed_pending, ingest, opened

SMALL = Sizes(graph=2, second_graph=3)
"""So that a few documents have a graph."""


def start(data_dir: Path) -> tuple[IndexThread, list[str]]:
    thread = IndexThread(
        lambda: SqliteChangeFeed(data_dir / FILE_NAME),
        Snapshots(data_dir),
        UsearchGraphFactory(),
        answer_limits(),
        sizes=SMALL,
    )
    return thread, thread.start().result(WAIT_SECONDS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture
def thread(store: SqliteStore, tmp_path: Path) -> Iterator[IndexThread]:
    made, _ = start(tmp_path)
    yield made
    made.close()


def ask(thread: IndexThread, queries: Sequence[VectorQuery]) -> list[Hits | GatewayError]:
    return answered(thread, queries)


def query(text: str, top_k: int = 3, collection: str = "default", fingerprint: str = FINGERPRINT) -> VectorQuery:
    return VectorQuery(collection, vector_of(text), fingerprint, top_k)


def hits(thread: IndexThread, text: str, top_k: int = 3, collection: str = "default") -> list[Hit]:
    (answer,) = ask(thread, [query(text, top_k, collection)])
    assert isinstance(answer, list)
    return answer


def test_an_empty_collection_has_no_hits(thread: IndexThread):
    assert hits(thread, "anything") == []


async def test_a_document_is_found_right_after_its_commit(store: SqliteStore, thread: IndexThread):
    for number in range(20):
        await ingest(store, [document(f"d{number}")], job_id=f"job{number}")
        assert hits(thread, f"text of d{number}")[0].doc_id == f"d{number}"


async def test_what_waits_to_be_embedded_is_not_found_yet(store: SqliteStore, thread: IndexThread):
    await store.accept("job", "default", [document("a")], 0.0)
    assert hits(thread, "text of a") == []
    await embed_pending(store)
    assert [hit.doc_id for hit in hits(thread, "text of a")] == ["a"]


async def test_a_new_version_takes_the_place_of_the_old_when_it_is_embedded(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a", "old"), document("b", "other")])
    await store.accept("job2", "default", [document("a", "new")], 0.0)
    assert [hit.text for hit in hits(thread, "old", 1)] == ["old"]
    await embed_pending(store)
    assert sorted(hit.text for hit in hits(thread, "old", 9)) == ["new", "other"]
    assert hits(thread, "new")[0].score == pytest.approx(1.0, abs=1e-6)


async def test_a_deleted_document_is_not_found(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a"), document("b")])
    assert len(hits(thread, "text of a")) == 2
    await store.delete("default", "a")
    assert [hit.doc_id for hit in hits(thread, "text of a")] == ["b"]


async def test_scores_are_cosines_in_float32_and_descend(store: SqliteStore, thread: IndexThread):
    ids = [f"d{number}" for number in range(200)]
    await ingest(store, [document(doc_id) for doc_id in ids])
    for number in range(20):
        cosines = vectors_of([f"text of {doc_id}" for doc_id in ids]) @ vector_of(f"query {number}")
        found = hits(thread, f"query {number}", 10)
        expected = [cosines[ids.index(hit.doc_id)] for hit in found]
        np.testing.assert_allclose([hit.score for hit in found], expected, rtol=0, atol=1e-6)
        # Only the choice of candidates knows the vectors by half precision.
        assert min(expected) >= np.sort(cosines)[-10] - 2e-3
        assert found[0].doc_id == ids[int(np.argmax(cosines))]
        assert all(one.score >= next_.score for one, next_ in itertools.pairwise(found))


async def test_text_and_metadata_come_back_exactly(store: SqliteStore, thread: IndexThread):
    text, metadata = (
        " ü\n\N{GRINNING FACE}\t",
        '{"z":1.0,"a":["x","\N{SNOWMAN}"],"n":null,"big":1000000000000000000000}',
    )

    await ingest(store, [document("an id / with\u2028all", text, metadata)])
    (hit,) = hits(thread, text)
    assert (hit.doc_id, hit.text, hit.metadata) == ("an id / with\u2028all", text, metadata)


async def test_new_metadata_alone_is_found_at_once(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a", "t")])
    assert hits(thread, "t")[0].metadata == "{}"
    await store.accept("job2", "default", [document("a", "t", '{"k":1}')], 0.0)
    (hit,) = hits(thread, "t")
    assert (hit.metadata, hit.score) == ('{"k":1}', pytest.approx(1.0, abs=1e-6))


async def test_each_query_of_a_batch_has_its_own_end(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a")])
    await ingest(store, [document("b")], job_id="job2", collection="books")
    answers = ask(
        thread,
        [
            query("text of a"),
            query("text of a", collection="nowhere"),
            query("text of b", collection="books", fingerprint="other"),
            query("text of b", collection="books"),
            VectorQuery("books", np.ones(DIM + 1, np.float32), FINGERPRINT, 1),
        ],
    )
    assert [type(answer) for answer in answers] == [Hits, NotFound, FingerprintMismatch, Hits, FingerprintMismatch]
    assert isinstance(answers[3], list)
    assert [hit.doc_id for hit in answers[3]] == ["b"]
    assert "'nowhere'" in str(answers[1])


async def test_a_deleted_collection_is_not_found_and_may_come_again(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a")], collection="books")
    assert len(hits(thread, "text of a", collection="books")) == 1
    await store.delete_collection("books")
    (answer,) = ask(thread, [query("text of a", collection="books")])
    assert isinstance(answer, NotFound)
    await ingest(store, [document("b")], job_id="job2", collection="books")
    assert [hit.doc_id for hit in hits(thread, "text of a", collection="books")] == ["b"]


async def test_a_collection_deleted_while_its_index_follows_ends_the_following(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a")], collection="books")
    feed = SqliteChangeFeed(tmp_path / FILE_NAME)
    (books,) = [record for record in feed.collections() if record.name == "books"]
    index, position = FindableIndex(DIM), catch_up.beginning(feed)
    await store.delete_collection("books")
    assert catch_up.catch_up(index, position, feed, books) == 0
    feed.close()


async def test_an_index_that_missed_forgotten_removals_begins_again(
    store: SqliteStore, thread: IndexThread, tmp_path: Path
):
    await ingest(store, [document(f"d{number}") for number in range(5)])
    feed = SqliteChangeFeed(tmp_path / FILE_NAME)
    (record,) = feed.collections()
    index, position = FindableIndex(DIM), catch_up.beginning(feed)
    catch_up.catch_up(index, position, feed, record)
    assert len(hits(thread, "text of d1", 9)) == 5
    await store.delete("default", "d1")
    assert await store.forget_tombstones(record.collection_id, feed.last_change()) == 1
    await store.delete("default", "d2")
    assert catch_up.catch_up(index, position, feed, record) is None
    assert {hit.doc_id for hit in hits(thread, "text of d1", 9)} == {"d0", "d3", "d4"}
    feed.close()


async def test_many_changes_are_followed_page_by_page(
    store: SqliteStore, thread: IndexThread, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(catch_up, "_PAGE", 3)

    await ingest(store, [document(f"d{number}") for number in range(20)])
    for number in range(0, 20, 4):
        await store.delete("default", f"d{number}")
    await ingest(store, [document("d1", "newer")], job_id="job2")
    assert len(hits(thread, "text of d3", 100)) == 15
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.count, state.collection) == (15, "default")


async def test_a_start_takes_the_snapshot_and_what_came_after_it(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(10)])
    saved = maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    assert [one.graph for one in saved] == [True]
    await store.delete("default", "d3")
    await ingest(store, [document("late")], job_id="job2")
    thread, notices = start(tmp_path)
    assert notices == []
    assert hits(thread, "text of late")[0].doc_id == "late"
    assert len(hits(thread, "text of d3", 100)) == 10
    thread.close()


@pytest.mark.parametrize("damage", ["flipped", "gone", "manifest", "arrays"])
async def test_a_start_over_a_damaged_snapshot_builds_the_index_and_says_so(
    store: SqliteStore, tmp_path: Path, damage: str
):
    await ingest(store, [document(f"d{number}") for number in range(10)])
    maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    kinds = {"manifest": "json", "arrays": "npz"}
    (path,) = (tmp_path / "index").glob(f"*/*.{kinds.get(damage, 'usearch')}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.unlink()
    if damage != "gone":
        path.write_bytes(content)
    thread, notices = start(tmp_path)
    assert len(notices) == 1
    assert "'default' is rebuilt from the store" in notices[0]
    assert hits(thread, "text of d7")[0].doc_id == "d7"
    thread.close()


async def test_a_snapshot_that_a_helper_built_is_adopted(store: SqliteStore, thread: IndexThread, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(6)])
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.count, state.exact, state.new, state.saved) == (6, 6, 6, 0)
    (saved,) = maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    await store.delete("default", "d1")
    await ingest(store, [document("late")], job_id="job2")
    thread.adopt(state.collection_id, *thread.load_base(state.collection_id)).result(WAIT_SECONDS)
    assert {hit.doc_id for hit in hits(thread, "text of d1", 9)} == {"d0", "d2", "d3", "d4", "d5", "late"}
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.count, state.exact, state.new, state.saved) == (6, 1, 1, saved.position)


async def test_a_snapshot_of_another_store_is_not_adopted(store: SqliteStore, thread: IndexThread, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(6)])
    (state,) = thread.state().result(WAIT_SECONDS)
    maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    base, manifest = thread.load_base(state.collection_id)
    other = msgspec.structs.replace(manifest, store_id="x")
    with pytest.raises(SnapshotUnusable):
        thread.adopt(state.collection_id, base, other).result(WAIT_SECONDS)
    assert len(hits(thread, "text of d1", 9)) == 6


async def test_a_start_without_a_snapshot_that_is_far_behind_builds_one(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tandem_gateway.index.followed._MAX_NEW_AT_START", 3)

    await ingest(store, [document(f"d{number}") for number in range(6)])
    thread, notices = start(tmp_path)
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.exact, state.saved > 0, notices) == (0, True, [])
    assert [hit.doc_id for hit in hits(thread, "text of d4", 1)] == ["d4"]
    thread.close()


async def test_a_shorter_list_of_hits_is_the_beginning_of_a_longer_one(store: SqliteStore, tmp_path: Path):
    texts = [f"t{number % 7}" for number in range(60)]
    await ingest(store, [document(f"d{number:02}", text) for number, text in enumerate(texts)])
    maintenance.snapshot(tmp_path, Sizes(graph=50), lambda: True, lambda line: None)
    await ingest(store, [document(f"e{number:02}", "t3") for number in range(20)], job_id="job2")
    thread, _ = start(tmp_path)
    for text in ("t3", "t5", "another"):
        longest = [hit.doc_id for hit in hits(thread, text, 80)]
        assert len(longest) == 80
        for top_k in (1, 2, 5, 10, 33, 64):
            assert [hit.doc_id for hit in hits(thread, text, top_k)] == longest[:top_k]
    same = [hit.doc_id for hit in hits(thread, "t3", 40)][: 9 + 20]
    assert same == sorted(same), "ties are in the order of insertion"
    thread.close()


def limited(data_dir: Path, limits: AnswerLimits) -> IndexThread:
    thread = IndexThread(
        lambda: SqliteChangeFeed(data_dir / FILE_NAME), Snapshots(data_dir), UsearchGraphFactory(), limits
    )
    thread.start().result(WAIT_SECONDS)
    return thread


def test_up_to_64_hits_are_searched_for_with_the_same_effort_in_both_graphs():
    assert min(SEARCH_EFFORT, SECOND_EFFORT) >= 64 + findable._SPARE_NODES


async def test_an_answer_over_its_limit_is_refused_and_others_of_its_batch_are_not(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}", f"{number} " + "x" * 100_000) for number in range(8)])
    thread = limited(tmp_path, answer_limits(250_000))
    many, few = ask(thread, [query("anything", 5), query("anything", 2)])
    assert isinstance(many, InvalidRequest)
    assert (many.code, many.param) == ("limit_exceeded", "top_k")
    assert "TANDEM_MAX_ANSWER_BYTES" in str(many)
    assert isinstance(few, Hits)
    assert len(few) == 2
    thread.close()


async def test_answers_hold_their_memory_until_they_are_forgotten(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}", f"{number} " + "x" * 100_000) for number in range(8)])
    limits = AnswerLimits(1 << 20, MemoryBudget(500_000, "TANDEM_SOMETHING"))
    thread = limited(tmp_path, limits)
    (first,) = ask(thread, [query("anything", 4)])
    assert 300_000 < limits.memory.held < 500_000
    (second,) = ask(thread, [query("anything", 4)])
    assert isinstance(second, Overloaded)
    assert "TANDEM_SOMETHING" in str(second)
    del first
    assert limits.memory.held == 0
    (third,) = ask(thread, [query("anything", 4)])
    assert isinstance(third, Hits)
    thread.close()


def test_after_its_end_it_answers_not_ready(store: SqliteStore, tmp_path: Path):
    thread, _ = start(tmp_path)
    thread.close()
    with pytest.raises(NotReady):
        hits(thread, "a")


def test_a_store_that_cannot_be_read_is_reported_to_whoever_starts_it(tmp_path: Path):
    thread = IndexThread(
        lambda: SqliteChangeFeed(tmp_path / "missing.sqlite3"),
        Snapshots(tmp_path),
        UsearchGraphFactory(),
        answer_limits(),
    )
    with pytest.raises(StorageUnavailable) as caught:
        thread.start().result(WAIT_SECONDS)
    assert "missing.sqlite3" in for_log(caught.value)
    with pytest.raises(NotReady):
        answered(thread, [query("a")])
    thread.close()


async def done_at_once(thread: IndexThread, queries: Sequence[VectorQuery]) -> bool:
    """Search, and return whether the event loop made it itself."""
    answer = thread.search(queries)
    at_once = answer.done()
    await answer
    return at_once


async def read_rows(thread: IndexThread, queries: Sequence[VectorQuery]) -> None:
    """Search for what no search found before, so that the rows of its hits are in memory; wait for the thread."""
    assert not await done_at_once(thread, queries)
    await idle(thread)


async def idle(thread: IndexThread) -> None:
    """Wait until the thread has done what was put to it, and let go of the indexes."""
    await asyncio.wrap_future(thread.state())
    with thread._touching:
        pass


async def test_what_is_in_memory_is_answered_without_the_thread_and_alike(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a"), document("b")])
    await idle(thread)
    asked = [query("text of a"), query("text of b", 1), query("x", collection="none")]
    first = thread.search(asked)
    assert not first.done(), "no row was read yet"
    await first
    await idle(thread)
    second = thread.search(asked)
    assert second.done()
    assert second.result()[:2] == first.result()[:2]
    assert str(second.result()[2]) == str(first.result()[2])


async def test_rows_that_are_not_in_memory_cost_no_second_search(
    store: SqliteStore, thread: IndexThread, monkeypatch: pytest.MonkeyPatch
):
    searched: list[int] = []
    search = FindableIndex.search
    monkeypatch.setattr(FindableIndex, "search", lambda *given: searched.append(len(given[1])) or search(*given))

    await ingest(store, [document("a"), document("b")])
    await idle(thread)
    assert not await done_at_once(thread, [query("text of a")])
    assert searched == [1]


async def test_what_was_committed_after_the_loop_had_searched_is_found(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a", "one text"), document("b")])
    await idle(thread)
    indexes = thread._loaded()
    asked = [query("new text", 1)]
    found = indexes.find_in_memory(asked, 100)
    assert found is not None
    await store.delete("default", "a")
    await ingest(store, [document("c", "new text")], job_id="later")
    await idle(thread)  # it follows the store before it searches
    (answer,) = await asyncio.wrap_future(thread._call(lambda: indexes.search(asked, found)))
    assert isinstance(answer, list)
    assert [hit.doc_id for hit in answer] == ["c"]


async def test_news_are_for_the_thread_to_take(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a")])
    await read_rows(thread, [query("text of a")])
    assert await done_at_once(thread, [query("text of a")])
    await store.delete("default", "a")
    assert not await done_at_once(thread, [query("text of a")])
    await idle(thread)
    answer = thread.search([query("text of a")])
    assert answer.done()
    assert answer.result() == [[]]


async def test_a_thread_that_is_busy_is_not_disturbed(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a")])
    await read_rows(thread, [query("text of a")])
    begun, go_on = threading.Event(), threading.Event()

    def occupy() -> None:
        begun.set()
        go_on.wait(WAIT_SECONDS)

    occupied = asyncio.wrap_future(thread._call(occupy))
    await asyncio.to_thread(begun.wait, WAIT_SECONDS)
    answer = thread.search([query("text of a")])
    assert not answer.done()
    go_on.set()
    await occupied
    assert [hit.doc_id for hit in (await answer)[0]] == ["a"]  # type: ignore[union-attr]


async def test_what_takes_long_is_for_the_thread(
    store: SqliteStore, thread: IndexThread, monkeypatch: pytest.MonkeyPatch
):
    await ingest(store, [document("a"), document("b")])
    await read_rows(thread, [query("text of a"), query("text of b")])
    monkeypatch.setattr("tandem_gateway.index.index_thread._AT_ONCE", 3)
    assert await done_at_once(thread, [query("text of a")])
    assert not await done_at_once(thread, [query("text of a"), query("text of b")])


async def test_a_successor_whose_commit_was_not_told_of_yet_is_found(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a"), document("b")])
    thread = IndexThread(
        lambda: SqliteChangeFeed(tmp_path / FILE_NAME, lambda: 1),  # tells of no later commit
        Snapshots(tmp_path),
        UsearchGraphFactory(),
        answer_limits(),
        sizes=SMALL,
    )
    thread.start().result(WAIT_SECONDS)
    await store.accept("job2", "default", [document("a", metadata='{"n":1}')], 2.0)
    (found, *_) = hits(thread, "text of a")
    assert (found.doc_id, found.metadata) == ("a", '{"n":1}')
    thread.close()


async def test_the_snapshots_of_deleted_collections_go_with_the_next_save(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(6)], collection="gone")
    maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    assert len(list((tmp_path / "index").iterdir())) == 1
    await store.delete_collection("gone")
    said: list[str] = []
    maintenance.snapshot(tmp_path, SMALL, lambda: True, said.append)
    assert list((tmp_path / "index").iterdir()) == []
    assert "a collection that is gone" in said[0]


async def test_a_snapshot_of_an_older_release_is_no_damage_and_goes_with_the_next_save(tmp_path: Path):
    said: list[str] = []
    with opened(tmp_path) as store:
        await ingest(store, [document("a")])
        (record,) = await store.collections()
        older = tmp_path / "index" / str(record.collection_id)
        older.mkdir(parents=True)
        (older / "manifest.json").write_bytes(b'{"manifest":{"format":1},"sha256":""}')
        thread, notices = start(tmp_path)
        thread.close()
        assert [isinstance(line, RoutineNotice) for line in notices] == [True]
    assert maintenance.verify(tmp_path, said.append), said
    maintenance.snapshot(tmp_path, Sizes(), lambda: True, said.append)
    assert not older.exists()
