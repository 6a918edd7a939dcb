"""The behaviour that all stores share for documents: versions, repetitions, deletion, and the counts of their jobs."""

from collections.abc import Sequence

import numpy as np
import pytest

from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.documents import CollectionRecord, EmbeddedBatch, JobRecord, NewDocument
from tests.gateway.ports.backends import Store
from tests.support.fakes import DIM, FINGERPRINT, MODEL, vectors_of
from tests.support.stores import NOW, claimed, document, embed_pending, ingest, pending_documents


async def accept(store: Store, *documents: NewDocument, job_id: str = "job") -> JobRecord:
    return await store.accept(job_id, "default", documents, NOW)


async def counts(store: Store, name: str = "default") -> tuple[int, int]:
    for record in await store.collections():
        if record.name == name:
            return record.live, record.pending
    return 0, 0


async def collection(store: Store, name: str = "default") -> CollectionRecord:
    return next(record for record in await store.collections() if record.name == name)


async def job(store: Store, job_id: str = "job") -> JobRecord:
    found = await store.job(job_id)
    assert found is not None
    return found


async def waiting_texts(store: Store) -> list[str]:
    return [waiting.text for waiting in await pending_documents(store, 100)]


async def view(store: Store, doc_id: str) -> tuple[str, str, bool] | None:
    found = await store.document("default", doc_id)
    return (found.text, found.metadata, found.embedded) if found else None


async def test_a_new_document_waits_and_its_job_runs_from_pending_to_finished(store: Store):
    accepted = await accept(store, document("a"), document("b"))
    assert (accepted.total, accepted.processed, accepted.created_at) == (2, 0, NOW)
    assert (accepted.started_at, accepted.finished_at) == (None, None)
    assert await counts(store) == (0, 2)
    assert await view(store, "a") == ("text of a", "{}", False)
    assert await embed_pending(store, limit=1) == 1
    half = await job(store)
    assert (half.processed, half.started_at, half.finished_at) == (1, NOW + 1, None)
    assert await embed_pending(store) == 1
    done = await job(store)
    assert (done.processed, done.failed, done.unchanged, done.started_at) == (2, 0, 0, NOW + 1)
    assert done.finished_at is not None
    assert await counts(store) == (2, 0)
    assert await view(store, "a") == ("text of a", "{}", True)


async def test_the_first_vector_pins_the_collections_model(store: Store):
    await accept(store, document("a"))
    before = await collection(store)
    assert (before.fingerprint, before.model, before.dim) == (None, None, None)
    await embed_pending(store)
    after = await collection(store)
    assert (after.fingerprint, after.model, after.dim) == (FINGERPRINT, MODEL, DIM)


async def test_vectors_of_another_model_or_length_are_refused_and_nothing_is_written(store: Store):
    await ingest(store, [document("a")])
    await accept(store, document("b"), document("c"), job_id="job2")
    with pytest.raises(FingerprintMismatch, match="default"):
        await embed_pending(store, fingerprint="other")
    batch = await claimed(store, 10)
    await store.queue.release("test", [waiting.passage_id for waiting in batch.passages])
    shorter = np.ones((2, DIM - 1), np.float32)
    rows = [waiting.passage_id for waiting in batch.passages]
    with pytest.raises(FingerprintMismatch):
        await store.queue.complete(EmbeddedBatch(batch.collection_id, rows, shorter, MODEL, FINGERPRINT, NOW))
    assert await counts(store) == (1, 2)
    assert (await job(store, "job2")).processed == 0
    assert await embed_pending(store) == 2


async def test_a_new_version_waits_beside_the_old_one_until_it_has_its_vector(store: Store):
    await ingest(store, [document("a", "old")])
    await accept(store, document("a", "new"), job_id="job2")
    assert await counts(store) == (1, 1)
    assert await view(store, "a") == ("new", "{}", False)
    await embed_pending(store)
    assert await counts(store) == (1, 0)
    assert await view(store, "a") == ("new", "{}", True)


async def test_equal_content_is_counted_as_unchanged_and_not_embedded_again(store: Store):
    await ingest(store, [document("a"), document("b")])
    again = await accept(store, document("a"), document("b"), job_id="job2")
    assert (again.total, again.processed, again.unchanged) == (2, 2, 2)
    assert again.finished_at is not None
    assert await waiting_texts(store) == []
    assert await counts(store) == (2, 0)


async def test_new_metadata_alone_keeps_the_vector_and_is_done_at_once(store: Store):
    await ingest(store, [document("a", "t")])
    changed = await accept(store, document("a", "t", '{"k":1}'), job_id="job2")
    assert (changed.processed, changed.unchanged) == (1, 0)
    assert changed.finished_at is not None
    assert await waiting_texts(store) == []
    assert await counts(store) == (1, 0)
    assert await view(store, "a") == ("t", '{"k":1}', True)


@pytest.mark.parametrize(
    ("versions", "waits", "seen"),
    [
        (["one", "two"], ["two"], "two"),
        (["one", "two", "one"], ["one"], "one"),
        (["one", "one"], ["one"], "one"),
        (["one", "one", "two", "two", "two"], ["two"], "two"),
    ],
)
async def test_an_id_sent_twice_in_one_request_ends_with_its_last_content(
    store: Store, versions: Sequence[str], waits: list[str], seen: str
):
    await accept(store, *(document("a", text) for text in versions))
    assert await waiting_texts(store) == waits
    await embed_pending(store)
    done = await job(store)
    assert (done.total, done.processed, done.failed) == (len(versions), len(versions), 0)
    assert done.finished_at is not None
    assert await view(store, "a") == (seen, "{}", True)
    assert await counts(store) == (1, 0)


async def test_a_pending_version_that_a_newer_one_replaces_counts_as_done_for_its_job(store: Store):
    await accept(store, document("a", "one"))
    await accept(store, document("a", "two"), job_id="job2")
    assert await waiting_texts(store) == ["two"]
    superseded = await job(store)
    assert (superseded.processed, superseded.failed) == (1, 0)
    assert superseded.finished_at is not None
    assert (await job(store, "job2")).processed == 0


async def test_a_version_put_back_while_a_newer_one_waited_needs_no_vector(store: Store):
    await ingest(store, [document("a", "one")])
    await accept(store, document("a", "two"), job_id="job2")
    await accept(store, document("a", "one"), job_id="job3")
    assert await waiting_texts(store) == []
    assert await view(store, "a") == ("one", "{}", True)
    assert [(await job(store, job_id)).finished_at is not None for job_id in ("job2", "job3")] == [True, True]
    assert await counts(store) == (1, 0)


async def test_two_jobs_wait_for_one_row_and_finish_together(store: Store):
    await accept(store, document("a"), document("a"))
    await accept(store, document("a"), document("b"), job_id="job2")
    assert await waiting_texts(store) == ["text of a", "text of b"]
    await embed_pending(store, limit=1)
    assert (await job(store)).finished_at is not None
    second = await job(store, "job2")
    assert (second.processed, second.unchanged, second.finished_at) == (1, 0, None)
    await embed_pending(store)
    assert (await job(store, "job2")).finished_at is not None


async def test_a_document_given_up_fails_in_each_of_its_jobs_with_the_reason(store: Store):
    await accept(store, document("a"), document("b"))
    await accept(store, document("a"), document("a"), job_id="job2")
    (first, *_) = await pending_documents(store, 10)
    await store.queue.fail(first.passage_id, "x" * 5000)
    await store.queue.fail(first.passage_id, "again")
    one, two = await job(store), await job(store, "job2")
    assert (one.processed, one.failed, one.finished_at) == (1, 1, None)
    assert (two.processed, two.failed) == (2, 2)
    assert two.finished_at is not None
    assert one.failures == two.failures == [("a", "x" * 1000)]
    assert await view(store, "a") is None
    assert await counts(store) == (0, 1)


async def test_only_the_first_hundred_failures_are_kept_and_all_are_counted(store: Store):
    await accept(store, *(document(f"d{number}") for number in range(103)))
    for waiting in await pending_documents(store, 200):
        await store.queue.fail(waiting.passage_id, "no")
    failed = await job(store)
    assert (failed.failed, len(failed.failures), failed.failures[99]) == (103, 100, ("d99", "no"))


async def test_failing_an_embedded_document_changes_nothing(store: Store):
    await accept(store, document("a"))
    (row,) = await pending_documents(store, 1)
    await embed_pending(store)
    await store.queue.fail(row.passage_id, "late")
    assert (await job(store)).failed == 0
    assert await view(store, "a") == ("text of a", "{}", True)


async def test_completing_a_replaced_or_deleted_document_is_skipped(store: Store):
    await accept(store, document("a", "one"), document("b"), document("c"))
    batch = await claimed(store, 10)
    await accept(store, document("a", "two"), job_id="job2")
    await store.delete("default", "b")
    embedded = EmbeddedBatch(
        batch.collection_id,
        [waiting.passage_id for waiting in batch.passages],
        vectors_of([waiting.text for waiting in batch.passages]),
        MODEL,
        FINGERPRINT,
        NOW,
    )
    assert await store.queue.complete(embedded) == 1
    assert await store.queue.complete(embedded) == 0
    assert await view(store, "a") == ("two", "{}", False)
    assert await view(store, "b") is None
    assert await counts(store) == (1, 1)
    assert (await job(store)).finished_at is not None


async def test_all_versions_of_a_deleted_document_are_deleted(store: Store):
    await ingest(store, [document("a", "old"), document("b")])
    await accept(store, document("a", "new"), job_id="job2")
    assert await store.delete("default", "a")
    assert not await store.delete("default", "a")
    assert not await store.delete("nowhere", "a")
    assert await view(store, "a") is None
    assert await waiting_texts(store) == []
    assert await counts(store) == (1, 0)
    assert (await job(store, "job2")).finished_at is not None
    await ingest(store, [document("a", "old")], job_id="job3")
    assert await view(store, "a") == ("old", "{}", True)


async def test_pending_documents_are_given_in_order_of_one_collection_and_without_those_passed_over(store: Store):
    for number in range(6):
        name = "odd" if number % 2 else "even"
        await store.accept(f"job{number}", name, [document(f"d{number}")], NOW)
    even = await claimed(store, 2)
    assert (even.collection, [waiting.text for waiting in even.passages]) == (
        "even",
        ["text of d0", "text of d2"],
    )
    after = await claimed(store, 10)
    assert (after.collection, len(after.passages)) == ("odd", 3)
    await store.queue.release("test", [waiting.passage_id for waiting in after.passages])
    odd = await store.queue.claim("test", 10, 60.0, without={even.collection_id})
    assert odd is not None
    assert odd.collection == "odd"
    assert await store.queue.claim("test", 10, 60.0, without={even.collection_id, odd.collection_id}) is None


async def test_a_job_counts_truncated_documents_even_if_none_is_embedded_again(store: Store):
    await accept(store, document("a"), document("b"), document("c"))
    batch = await claimed(store, 10)
    rows = [waiting.passage_id for waiting in batch.passages]
    vectors = vectors_of([waiting.text for waiting in batch.passages])
    coverages = [Coverage(truncated=True), Coverage(unknown=1.0), WHOLE]
    await store.queue.complete(EmbeddedBatch(batch.collection_id, rows, vectors, MODEL, FINGERPRINT, NOW, coverages))
    first = await job(store)
    assert (first.processed, first.truncated, first.unreadable) == (3, 1, 1)
    same = await accept(store, document("a"), document("b", metadata='{"n":1}'), document("c"), job_id="again")
    assert (same.processed, same.unchanged, same.truncated, same.unreadable) == (3, 2, 1, 1)
    for doc_id, coverage in zip("abc", coverages, strict=True):
        found = await store.document("default", doc_id)
        assert found is not None
        assert found.coverage == coverage
    await accept(store, document("a", "a newer text"), job_id="newer")
    waiting = await store.document("default", "a")
    assert waiting is not None
    assert waiting.coverage is None
