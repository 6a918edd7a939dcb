"""The index's thread over the real store: it finds every acknowledged document, with its stored content."""

import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tandem_gateway import maintenance
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.errors import (
    Conflict,
    DeadlineExceeded,
    FingerprintMismatch,
    InvalidRequest,
    NotFound,
    NotReady,
    StorageUnavailable,
    for_log,
)
from tandem_gateway.index import findable
from tandem_gateway.index.base import SEARCH_EFFORT, SECOND_EFFORT
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.records.search import Hits
from tests.gateway.index.threads import ask, hits, query, start
from tests.support.fakes import DIM, FINGERPRINT, WAIT_SECONDS, answer_limits, answered, vector_of, vectors_of
from tests.support.stores import NOW, document, embed_pending, ingest


def test_an_empty_collection_has_no_hits(thread: IndexThread):
    assert hits(thread, "anything") == []


async def test_a_document_is_found_right_after_its_commit(store: SqliteStore, thread: IndexThread):
    for number in range(20):
        await ingest(store, [document(f"d{number}")], job_id=f"job{number}")
        assert hits(thread, f"text of d{number}")[0].doc_id == f"d{number}"


async def test_a_commit_is_found_as_soon_as_any_reader_can_see_it(
    store: SqliteStore, thread: IndexThread, monkeypatch: pytest.MonkeyPatch
):
    await ingest(store, [document("a")])
    assert len(hits(thread, "text of b")) == 1
    found: list[list[str]] = []
    check = store._writer._presence.check

    def search_before_the_commit_is_announced() -> None:
        found.append([hit.doc_id for hit in hits(thread, "text of b", 1)])
        check()

    await store.accept("job2", "default", [document("b")], 0.0)
    monkeypatch.setattr(store._writer._presence, "check", search_before_the_commit_is_announced)
    await embed_pending(store)
    assert found[-1] == ["b"]


async def test_passages_are_retrieved_without_documents_and_hydrated_afterwards(
    store: SqliteStore, thread: IndexThread
):
    await ingest(store, [document("a"), document("b"), document("c")])
    wanted = query("text of b", 2)
    (ranked,), (answer,) = ask(thread, [msgspec.structs.replace(wanted, hydrated=False)]), ask(thread, [wanted])
    assert isinstance(ranked, list)
    assert isinstance(answer, Hits)
    assert [(each.score, each.dense) for each in ranked] == [(hit.score, hit.score) for hit in answer]
    for _ in range(2):  # from the store, and from the cache
        assert await thread.hydrate(ranked, timeout=WAIT_SECONDS) == answer
    assert await thread.hydrate([], timeout=WAIT_SECONDS) == []


async def test_hydration_leaves_out_a_passage_that_was_replaced(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a"), document("b")])
    (ranked,) = ask(thread, [msgspec.structs.replace(query("text of a", 2), hydrated=False)])
    assert isinstance(ranked, list)
    await ingest(store, [document("a", "another text")], "job2")
    assert [hit.doc_id for hit in await thread.hydrate(ranked, timeout=WAIT_SECONDS)] == ["b"]


async def test_hydration_is_bounded_in_bytes_and_time(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a", "x" * 3000), document("b", "x" * 3000)])
    thread = IndexThread(
        lambda: SqliteIndexFeed(tmp_path / FILE_NAME), Snapshots(tmp_path), UsearchGraphFactory(), answer_limits(5000)
    )
    thread.start().result(WAIT_SECONDS)
    try:
        (ranked,) = ask(thread, [msgspec.structs.replace(query("x"), hydrated=False)])
        assert isinstance(ranked, list)
        with pytest.raises(InvalidRequest, match="TANDEM_MAX_ANSWER_BYTES"):
            await thread.hydrate(ranked, timeout=WAIT_SECONDS)
        with pytest.raises(DeadlineExceeded, match="not read in time"):
            await thread.hydrate(ranked[:1], timeout=0)
    finally:
        thread.close()
    with pytest.raises(NotReady):
        await thread.hydrate(ranked[:1], timeout=WAIT_SECONDS)


async def test_the_vector_of_a_document_is_that_of_the_version_that_search_finds(
    store: SqliteStore, thread: IndexThread
):
    with pytest.raises(NotFound, match="no collection"):
        await thread.document_vector("absent", "a", timeout=WAIT_SECONDS)
    await store.accept("job", "default", [document("a", "first")], NOW)
    with pytest.raises(NotFound, match="no document 'b'"):
        await thread.document_vector("default", "b", timeout=WAIT_SECONDS)
    with pytest.raises(Conflict, match="no vector yet"):
        await thread.document_vector("default", "a", timeout=WAIT_SECONDS)
    await embed_pending(store)
    await store.accept("job2", "default", [document("a", "second")], NOW)
    found = await thread.document_vector("default", "a", timeout=WAIT_SECONDS)
    np.testing.assert_array_equal(found.vector.vector, vector_of("first"))
    assert found.vector.fingerprint == FINGERPRINT
    await embed_pending(store)
    found = await thread.document_vector("default", "a", timeout=WAIT_SECONDS)
    np.testing.assert_array_equal(found.vector.vector, vector_of("second"))
    assert (await thread.collection("default", timeout=WAIT_SECONDS)).dim == DIM


async def test_hits_get_the_vectors_of_their_best_passages(store: SqliteStore, thread: IndexThread):
    await ingest(store, [document("a"), document("b")])
    (ranked,) = ask(thread, [msgspec.structs.replace(query("text of b", 2), hydrated=False)])
    assert isinstance(ranked, list)
    hits = await thread.with_vectors(
        "default", await thread.hydrate(ranked, timeout=WAIT_SECONDS), timeout=WAIT_SECONDS
    )
    assert [(hit.doc_id, hit.vector) for hit in hits] == [
        (hit.doc_id, vector_of(hit.text).astype("<f4").tobytes()) for hit in hits
    ]
    bare = await thread.hydrate(ranked, timeout=WAIT_SECONDS, texts=False)
    assert [(hit.doc_id, hit.text, hit.best) for hit in bare] == [(hit.doc_id, "", hit.best) for hit in hits]


async def test_a_pending_document_is_not_found_yet(store: SqliteStore, thread: IndexThread):
    await store.accept("job", "default", [document("a")], 0.0)
    assert hits(thread, "text of a") == []
    await embed_pending(store)
    assert [hit.doc_id for hit in hits(thread, "text of a")] == ["a"]


async def test_a_new_version_replaces_the_old_one_once_it_is_embedded(store: SqliteStore, thread: IndexThread):
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
        # Only the choice of candidates uses the vectors in half precision.
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


def test_up_to_64_hits_are_searched_for_with_the_same_effort_in_both_graphs():
    assert min(SEARCH_EFFORT, SECOND_EFFORT) >= 64 + findable._SPARE_NODES


def test_after_its_end_it_answers_not_ready(store: SqliteStore, tmp_path: Path):
    thread, _ = start(tmp_path)
    thread.close()
    with pytest.raises(NotReady):
        hits(thread, "a")


def test_a_store_that_cannot_be_read_is_reported_to_the_caller_of_start(tmp_path: Path):
    thread = IndexThread(
        lambda: SqliteIndexFeed(tmp_path / "missing.sqlite3"),
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
