"""The behaviour that all stores share for the documents of a job: how each of them ended, page by page."""

import pytest

from tandem_gateway.adapters.limits import MAX_KEPT_FAILURES, MAX_REASON_CHARS, Limits
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.documents import EmbeddedBatch, JobFilter, NewDocument
from tandem_gateway.records.job_documents import (
    DocumentStatus,
    JobDocument,
    SkippedDocument,
    coverage_reason,
    embedded_status,
)
from tests.gateway.ports.backends import Backend, Store
from tests.support.fakes import FINGERPRINT, MODEL, vectors_of
from tests.support.stores import LIMITS, NOW, claimed, complete, document, embed_pending, ingest, pending_documents


async def listed(
    store: Store, job_id: str = "job", limit: int = 100, status: DocumentStatus | None = None
) -> list[JobDocument]:
    """Return the documents of all pages."""
    found: list[JobDocument] = []
    first: int | None = 0
    while first is not None:
        page = await store.job_documents(job_id, first, limit, status)
        assert page is not None
        assert len(page.documents) <= limit
        found += page.documents
        assert page.next is None or page.next > first
        first = page.next
    return found


async def statuses(store: Store, job_id: str = "job") -> list[tuple[str | None, str]]:
    return [(each.doc_id, each.status) for each in await listed(store, job_id)]


async def accept(store: Store, *documents: NewDocument | str, job_id: str = "job", collection: str = "default") -> None:
    given = [document(each) if isinstance(each, str) else each for each in documents]
    await store.accept(job_id, collection, given, NOW)


async def fail_all(store: Store, error: str = "refused") -> None:
    for passage in await pending_documents(store):
        await store.queue.fail(passage.passage_id, error)


async def test_documents_wait_and_are_embedded_in_the_order_of_the_ingest(store: Store):
    await accept(store, "c", "a", "b")
    assert await statuses(store) == [("c", "pending"), ("a", "pending"), ("b", "pending")]
    await complete(store, await claimed(store, 2))
    assert await statuses(store) == [("c", "embedded"), ("a", "embedded"), ("b", "pending")]
    await embed_pending(store)
    assert await listed(store) == [JobDocument(doc_id, "embedded") for doc_id in "cab"]


async def test_an_unknown_job_has_no_page_and_one_without_documents_an_empty_one(store: Store):
    assert await store.job_documents("unknown", 0, 10, None) is None
    await accept(store)
    page = await store.job_documents("job", 0, 10, None)
    assert page is not None
    assert (page.documents, page.next) == ([], None)


async def test_a_page_after_the_last_document_is_empty(store: Store):
    await accept(store, "a")
    for first in (1, 1000, 10**12):
        page = await store.job_documents("job", first, 10, None)
        assert page is not None
        assert (page.documents, page.next) == ([], None)


async def test_unchanged_documents_and_those_with_new_metadata(store: Store):
    await ingest(store, [document("same"), document("new metadata")], "first")
    await accept(store, "same", document("new metadata", metadata='{"k":1}'), "new")
    assert await statuses(store) == [("same", "unchanged"), ("new metadata", "embedded"), ("new", "pending")]
    await store.delete("default", "same")
    assert (await statuses(store))[0] == ("same", "unchanged")  # the list tells what the job did


async def test_what_the_model_did_not_read(store: Store):
    names = ["whole", "cut", "unread", "both"]
    await accept(store, *names)
    batch = await claimed(store)
    known = [WHOLE, Coverage(truncated=True), Coverage(unknown=0.9), Coverage(truncated=True, unknown=0.9)]
    rows = [passage.passage_id for passage in batch.passages]
    vectors = vectors_of(names)
    await store.queue.complete(EmbeddedBatch(batch.collection_id, rows, vectors, MODEL, FINGERPRINT, NOW, known))
    cut, unread = "the model did not read all of the text", "the model does not know most of the text's tokens"
    assert await listed(store) == [
        JobDocument("whole", "embedded"),
        JobDocument("cut", "truncated", cut),
        JobDocument("unread", "unreadable", unread),
        JobDocument("both", "truncated", cut),
    ]
    await accept(store, *names, job_id="again")
    assert await listed(store, "again") == [
        JobDocument("whole", "unchanged"),
        JobDocument("cut", "unchanged", cut),
        JobDocument("unread", "unchanged", unread),
        JobDocument("both", "unchanged", f"{cut}; {unread}"),
    ]
    await accept(store, *(document(name, metadata='{"k":1}') for name in names), job_id="metadata")
    assert [each.status for each in await listed(store, "metadata")] == [
        "embedded",
        "truncated",
        "unreadable",
        "truncated",
    ]
    assert [embedded_status(each) for each in [*known, None]] == [
        "embedded",
        "truncated",
        "unreadable",
        "truncated",
        "embedded",
    ]
    assert coverage_reason(None) is None


async def test_failed_documents_have_the_error_and_those_after_the_first_hundred_its_beginning(store: Store):
    count = MAX_KEPT_FAILURES + 2
    await accept(store, *(f"d{number}" for number in range(count)))
    await fail_all(store, "no " * 300)
    reasons = [each.reason for each in await listed(store, limit=7) if each.status == "failed"]
    assert reasons == ["no " * 300] * MAX_KEPT_FAILURES + [("no " * 300)[:MAX_REASON_CHARS]] * 2


async def test_a_document_twice_in_an_ingest(store: Store):
    await accept(store, document("a", "one"), document("a", "two"), document("a", "two"), document("a", "one"))
    assert [status for _, status in await statuses(store)] == ["replaced", "replaced", "replaced", "pending"]
    await embed_pending(store)
    assert [status for _, status in await statuses(store)] == ["replaced", "replaced", "replaced", "embedded"]


async def test_a_document_that_several_jobs_wait_for(store: Store):
    await accept(store, "a", "b")
    await accept(store, "b", "a", "b", job_id="other")
    await fail_all(store)
    assert await statuses(store) == [("a", "failed"), ("b", "failed")]
    assert await listed(store, "other") == [JobDocument(doc_id, "failed", "refused") for doc_id in "bab"]


async def test_another_ingest_replaces_a_document_that_waits(store: Store):
    await accept(store, "a", "b")
    await accept(store, document("a", "newer"), job_id="other")
    await embed_pending(store)
    assert await statuses(store) == [("a", "replaced"), ("b", "embedded")]
    assert await statuses(store, "other") == [("a", "embedded")]


async def test_deleted_and_cancelled_documents(store: Store):
    await accept(store, "a", "b", "c")
    await complete(store, await claimed(store, 1))
    await store.delete("default", "a")
    await store.delete("default", "b")
    assert await statuses(store) == [("a", "embedded"), ("b", "deleted"), ("c", "pending")]
    await accept(store, "d", "c", "d", job_id="cancelled")
    await store.cancel("cancelled", NOW)
    assert [status for _, status in await statuses(store, "cancelled")] == ["cancelled"] * 3
    assert await statuses(store) == [("a", "embedded"), ("b", "deleted"), ("c", "pending")]


async def test_the_documents_of_a_deleted_collection(store: Store):
    await accept(store, "a", "b", "a", collection="books")
    await accept(store, "b", job_id="other", collection="books")
    await store.delete_collection("books")
    assert [status for _, status in await statuses(store)] == ["deleted"] * 3
    assert await statuses(store, "other") == [("b", "deleted")]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_the_pages_have_each_document_once_with_a_status_or_any(
    store: Store, limit: int, monkeypatch: pytest.MonkeyPatch
):
    for module in ("sqlite.job_documents", "postgres.job_lists"):
        monkeypatch.setattr(f"tandem_gateway.adapters.{module}.ENTRIES", 3)
    names = [f"d{number}" for number in range(10)]
    await ingest(store, [document(name) for name in names[::2]], "first")
    await accept(store, *names)
    await complete(store, await claimed(store, 3))
    for module in ("sqlite.job_documents", "postgres.job_lists"):
        monkeypatch.setattr(f"tandem_gateway.adapters.{module}.ENTRIES", 500)
    assert [each.doc_id for each in await listed(store, limit=limit)] == names
    expected: dict[DocumentStatus, list[str]] = {
        "unchanged": names[::2],
        "embedded": names[1:7:2],
        "pending": names[7::2],
        "failed": [],
    }
    for status, doc_ids in expected.items():
        assert [each.doc_id for each in await listed(store, limit=limit, status=status)] == doc_ids


async def test_a_page_ends_after_the_documents_that_it_may_look_at(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tandem_gateway.adapters.job_pages.JOB_DOCUMENTS_SCANNED", 4)
    await accept(store, *(f"d{number}" for number in range(10)))
    page = await store.job_documents("job", 0, 100, "failed")
    assert page is not None
    assert (page.documents, page.next) == ([], 4)
    page = await store.job_documents("job", 8, 100, None)
    assert page is not None
    assert ([each.doc_id for each in page.documents], page.next) == (["d8", "d9"], None)


async def test_skipped_documents_are_counted_and_listed_at_their_places(store: Store):
    skipped = [SkippedDocument(0, "bad", "documents[0].text", "documents[0].text: it is blank")]
    skipped += [SkippedDocument(index, None, f"documents[{index}]", "no object " * 50) for index in (2, 4)]
    job = await store.accept("job", "default", [document("a"), document("b")], NOW, skipped=skipped)
    assert (job.total, job.processed, job.skipped) == (2, 0, 3)
    await embed_pending(store)
    found = await store.job("job")
    assert found is not None
    assert (found.state, found.total, found.processed, found.skipped) == ("completed", 2, 2, 3)
    assert (await store.jobs(None, 10, JobFilter())).jobs == [found]
    cut = ("no object " * 50)[:MAX_REASON_CHARS]
    assert await listed(store, limit=2) == [
        JobDocument("bad", "skipped", "documents[0].text: it is blank"),
        JobDocument("a", "embedded"),
        JobDocument(None, "skipped", cut),
        JobDocument("b", "embedded"),
        JobDocument(None, "skipped", cut),
    ]
    assert len(await listed(store, status="skipped")) == 3
    assert await store.document("default", "bad") is None


async def test_a_list_is_forgotten_with_its_job(store: Store):
    await accept(store, "a", "b")
    await fail_all(store)
    assert await store.forget_jobs(1e12) == 1
    assert await store.job_documents("job", 0, 10, None) is None


async def test_the_oldest_lists_of_finished_jobs_are_forgotten_over_the_limit(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
):
    store = backend.open(Limits(LIMITS.collections, LIMITS.pending_documents, finished_jobs=1000))
    await accept(store, "waits", job_id="unfinished")
    for number in range(5):
        await accept(store, *(f"{number}-{place}" for place in range(20)), job_id=f"job{number}")
    for passage in (await pending_documents(store))[1:]:
        await store.queue.fail(passage.passage_id, "refused")
    for module in ("sqlite", "memory", "postgres"):
        monkeypatch.setattr(f"tandem_gateway.adapters.{module}.retention.LISTED_BYTES", 3 * 20 * 64)
    assert await store.forget_jobs(0.0) == 0
    kept = ["unfinished", "job3", "job4"]
    for job_id in ["unfinished", *(f"job{number}" for number in range(5))]:
        assert await store.job(job_id) is not None
        assert (await store.job_documents(job_id, 0, 10, None) is not None) == (job_id in kept), job_id
