"""The behaviour that all stores share for the retry of a job: its failed documents, and no others, wait again."""

import dataclasses

import pytest

from tandem_gateway.adapters.limits import FAILED_ENTRY_BYTES, MAX_KEPT_FAILURES, Limits
from tandem_gateway.errors import Conflict, Overloaded
from tandem_gateway.filters.tree import EVERYTHING
from tandem_gateway.http.filters import read_filter
from tandem_gateway.ports.documents import MetadataChange
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import EmbeddedBatch, JobRecord, NewDocument, StoredContent
from tandem_gateway.records.sources import SourceDifference
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import counts
from tests.gateway.ports.test_job_documents import accept, fail_all, statuses
from tests.support.fakes import FINGERPRINT, MODEL, vectors_of
from tests.support.stores import LIMITS, NOW, claimed, document, embed_pending, pending_documents


async def fail(store: Store, *texts: str, error: str = "refused") -> None:
    """Fail the pending documents with these texts."""
    for passage in await pending_documents(store):
        if passage.text in texts:
            await store.queue.fail(passage.passage_id, error)


async def job(store: Store, job_id: str = "job") -> JobRecord:
    found = await store.job(job_id)
    assert found is not None
    return found


async def waiting(store: Store) -> list[str]:
    return [passage.text for passage in await pending_documents(store)]


async def test_the_failed_documents_wait_again_and_the_job_goes_on(store: Store):
    await accept(store, "a", "bad", "b", document("worse", "# text", '{"k":1}'))
    await fail(store, "text of bad", "# text")
    assert await embed_pending(store) == 2
    before = await job(store)
    assert (before.state, before.processed, before.failed) == ("failed", 4, 2)
    found = await store.retry("job", NOW + 5)
    assert found is not None
    assert (found.retried, found.lost) == (2, 0)
    assert found.job == await job(store)
    assert (found.job.state, found.job.total, found.job.processed, found.job.failed) == ("running", 4, 2, 0)
    assert (found.job.finished_at, found.job.started_at) == (None, before.started_at)
    assert (found.job.failures, found.job.retried_at) == ([], NOW + 5)
    assert await statuses(store) == [("a", "embedded"), ("bad", "pending"), ("b", "embedded"), ("worse", "pending")]
    assert await counts(store) == (2, 2)
    assert sorted(await waiting(store)) == ["# text", "text of bad"]
    assert await store.unfinished(["job"]) == {"job"}
    while await embed_pending(store):
        pass
    after = await job(store)
    assert (after.state, after.processed, after.failed) == ("completed", 4, 0)
    assert {status for _, status in await statuses(store)} == {"embedded"}
    view = await store.document("default", "worse")
    assert view is not None
    assert (view.text, view.metadata, view.embedded) == ("# text", '{"k":1}', True)


async def test_a_retried_document_keeps_its_format_and_its_source(store: Store):
    given = dataclasses.replace(document("a", "# a", text_format="markdown"), source="shelf", source_hash="1")
    await accept(store, given)
    await fail_all(store)
    await store.retry("job", NOW)
    batch = await claimed(store)
    assert batch.split is not None
    assert batch.split.format == "markdown"
    await store.queue.release("test", [passage.passage_id for passage in batch.passages])
    assert await store.synchronize("default", "shelf", {"a": "1"}) == SourceDifference([], [], [])


async def test_a_document_may_fail_again_and_be_retried_again(store: Store):
    await accept(store, "a", "bad")
    for attempt in range(3):
        await fail(store, "text of bad", error=f"refused {attempt}")
        await embed_pending(store)
        found = await job(store)
        assert (found.failed, found.failures) == (1, [("bad", f"refused {attempt}")])
        retried = await store.retry("job", NOW)
        assert retried is not None
        assert retried.retried == 1
    assert await waiting(store) == ["text of bad"]


async def test_what_cannot_be_retried(store: Store):
    assert await store.retry("unknown", NOW) is None
    await accept(store, "a")
    with pytest.raises(Conflict, match=r"job_id: job has not ended: 1 of its documents wait to be embedded"):
        await store.retry("job", NOW)
    await embed_pending(store)
    with pytest.raises(Conflict, match=r"job_id: job has no failed documents"):
        await store.retry("job", NOW)


def _changed(metadata: str) -> MetadataChange:
    def change(stored: StoredContent) -> NewDocument:
        return document(stored.doc_id, stored.text, metadata, stored.format)

    return change


@pytest.mark.parametrize(
    "write", ["newer", "same", "live", "delete", "delete some", "metadata", "collection", "source"]
)
async def test_a_document_that_was_written_since_stays_failed(store: Store, write: str):
    await accept(store, document("a", "live"), job_id="before")
    await embed_pending(store)
    shelf = dataclasses.replace(document("a", "failed"), source="shelf", source_hash="1")
    await accept(store, shelf, "other")
    await fail_all(store)
    if write in ("newer", "same", "live"):
        text = {"newer": "newer", "same": "failed", "live": "live"}[write]
        await accept(store, document("a", text), job_id="after")
        await embed_pending(store)
    elif write == "delete":
        assert await store.delete("default", "a")
    elif write == "delete some":
        assert (await store.delete_some("default", ["a"], EVERYTHING)).deleted == 1
    elif write == "metadata":
        await store.change_metadata("default", "a", _changed('{"new":1}'))
    elif write == "source":
        await store.synchronize("default", "shelf", {})
    else:
        await store.delete_collection("default")
        with pytest.raises(Conflict, match=r"none of the 2 failed documents of job can be retried"):
            await store.retry("job", NOW)
        return
    found = await store.retry("job", NOW)
    assert found is not None
    assert (found.retried, found.lost, found.job.failed) == (1, 1, 1)
    assert found.job.failures == [("a", "refused")]
    assert await statuses(store) == [("a", "failed"), ("other", "pending")]
    assert await waiting(store) == ["text of other"]
    await embed_pending(store)
    assert (await job(store)).state == "failed"
    with pytest.raises(Conflict, match=r"none of the 1 failed documents of job can be retried any more"):
        await store.retry("job", NOW)


async def test_deleting_a_document_that_has_only_failed_drops_it(store: Store):
    await accept(store, "a", "b", "c")
    await fail_all(store)
    assert not await store.delete("default", "a")
    assert (await store.delete_some("default", ["b"], EVERYTHING)).deleted == 0
    found = await store.retry("job", NOW)
    assert found is not None
    assert (found.retried, found.lost) == (1, 2)
    assert await waiting(store) == ["text of c"]


async def test_deleting_documents_that_match_drops_those_that_have_only_failed(store: Store):
    await accept(store, document("a", metadata='{"of":"a"}'), document("b", metadata='{"of":"b"}'))
    await fail_all(store)
    assert (await store.delete_some("default", ["a", "b"], read_filter(b'{"of": "a"}'))).deleted == 0
    found = await store.retry("job", NOW)
    assert found is not None
    assert (found.retried, found.lost) == (1, 1)
    assert await waiting(store) == ["text of b"]


async def test_the_earlier_version_stays_live_until_the_retried_one_is_embedded(store: Store):
    await accept(store, document("a", "old"), job_id="before")
    await embed_pending(store)
    await accept(store, document("a", "new"))
    await fail_all(store)
    await store.retry("job", NOW)
    assert await counts(store) == (1, 1)
    await embed_pending(store)
    assert await counts(store) == (1, 0)
    view = await store.document("default", "a")
    assert view is not None
    assert view.text == "new"


async def test_a_version_for_which_two_jobs_failed_is_embedded_once(store: Store):
    await accept(store, "a", "a")
    await accept(store, "a", job_id="other")
    await accept(store, "a", job_id="third")
    await fail_all(store)
    assert (await job(store)).failed == 2
    first = await store.retry("job", NOW)
    assert first is not None
    assert (first.retried, first.job.processed) == (2, 0)
    assert (await job(store, "other")).state == "failed"
    joined = await store.retry("other", NOW)
    assert joined is not None
    assert (joined.retried, await counts(store)) == (1, (0, 1))
    batch = await claimed(store)
    rows = [passage.passage_id for passage in batch.passages]
    known = [Coverage(truncated=True)]
    assert (
        await store.queue.complete(
            EmbeddedBatch(batch.collection_id, rows, vectors_of(["a"]), MODEL, FINGERPRINT, NOW, known)
        )
        == 1
    )
    assert [(await job(store, each)).state for each in ("job", "other", "third")] == [
        "completed",
        "completed",
        "failed",
    ]
    late = await store.retry("third", NOW)
    assert late is not None
    assert (late.retried, late.job.state, late.job.truncated) == (1, "completed", 1)
    assert await statuses(store, "third") == [("a", "truncated")]
    assert await counts(store) == (1, 0)


async def test_a_version_that_fails_again_may_be_retried_by_each_job(store: Store):
    await accept(store, "a")
    await accept(store, "a", job_id="other")
    await fail_all(store)
    await store.retry("job", NOW)
    await fail_all(store, "again")
    assert (await job(store)).failures == [("a", "again")]
    for job_id in ("other", "job"):
        found = await store.retry(job_id, NOW)
        assert found is not None
        assert found.retried == 1
    await embed_pending(store)
    assert [(await job(store, each)).state for each in ("job", "other")] == ["completed", "completed"]


async def test_retried_documents_are_embedded_before_newer_ones_and_may_be_cancelled(store: Store):
    await accept(store, "a", "b")
    await fail(store, "text of a")
    await accept(store, "c", job_id="newer")
    assert await waiting(store) == ["text of b", "text of c"]
    await fail(store, "text of b")
    await store.retry("job", NOW)
    assert await waiting(store) == ["text of a", "text of b", "text of c"]
    await store.cancel("job", NOW)
    found = await job(store)
    assert (found.state, found.cancelled, found.failed) == ("cancelled", 2, 0)
    assert await waiting(store) == ["text of c"]


async def test_failures_after_a_retry_get_their_errors(store: Store):
    await accept(store, "a", "b", "c")
    await fail_all(store)
    await store.delete("default", "c")
    await store.retry("job", NOW)
    await fail_all(store, "again")
    found = await job(store)
    assert found.failed == 3
    assert sorted(found.failures) == [("a", "again"), ("b", "again"), ("c", "refused")]


async def test_a_job_with_many_failed_documents(store: Store):
    names = [f"d{number}" for number in range(MAX_KEPT_FAILURES + 20)]
    await accept(store, *names)
    await fail_all(store, "no")
    found = await store.retry("job", NOW)
    assert found is not None
    assert (found.retried, found.job.failures) == (len(names), [])
    await embed_pending(store)
    assert (await job(store)).state == "completed"


async def test_the_oldest_are_dropped_over_the_limit(backend: Backend):
    size = FAILED_ENTRY_BYTES + len("1") + len("text of 1") + len("{}")
    limits = dataclasses.replace(LIMITS, failed_bytes=2 * size)
    store = backend.open(limits)
    await accept(store, "1", "2", "3")
    for name in "123":
        await fail(store, f"text of {name}")
    found = await store.retry("job", NOW)
    assert found is not None
    assert (found.retried, found.lost) == (2, 1)
    assert await waiting(store) == ["text of 2", "text of 3"]
    await fail_all(store)
    await accept(store, document("large", "x" * 1000), job_id="large")
    await fail_all(store)
    with pytest.raises(Conflict, match=r"none of the 1 failed documents of large"):
        await store.retry("large", NOW)
    again = await store.retry("job", NOW)
    assert again is not None
    assert again.retried == 2  # a version that is too large itself pushes no other out


async def test_nothing_is_kept_with_a_limit_of_zero(backend: Backend):
    store = backend.open(dataclasses.replace(LIMITS, failed_bytes=0))
    await accept(store, "a")
    await fail_all(store)
    with pytest.raises(Conflict, match=r"none of the 1 failed documents"):
        await store.retry("job", NOW)


async def test_old_ones_are_forgotten_by_time_and_with_their_job(store: Store):
    await accept(store, "a")
    await accept(store, "a", job_id="other")
    await fail_all(store)
    assert await store.forget_failed(0.0) == 0
    assert await store.forget_jobs(1e12) == 2
    assert await store.forget_failed(1e12) == 0  # nobody could retry it
    await accept(store, "b", job_id="third")
    await fail_all(store)
    assert await store.forget_failed(1e12) == 1
    with pytest.raises(Conflict, match=r"none of the 1 failed documents"):
        await store.retry("third", NOW)


async def test_the_limit_of_pending_documents_holds(backend: Backend):
    store = backend.open(Limits(5, 2, 10))
    await accept(store, "a", "b")
    await fail_all(store)
    await accept(store, "c", job_id="newer")
    with pytest.raises(Overloaded):
        await store.retry("job", NOW)
    assert (await job(store)).state == "failed"
    await embed_pending(store)
    assert (await store.retry("job", NOW)) is not None
