"""The behaviour that all stores share for jobs: lists of them, which have ended, and their cancellation."""

import pytest

from tandem_gateway.adapters import job_pages
from tandem_gateway.ports import jobs as port
from tandem_gateway.records.documents import JobFilter, JobRecord
from tests.gateway.ports.backends import Store
from tests.gateway.ports.steps import counts
from tests.support.stores import NOW, claimed, complete, document, embed_pending, pending_documents

ANY = JobFilter()


async def accept(store: Store, job_id: str, *doc_ids: str, at: float = NOW, collection: str = "default") -> JobRecord:
    return await store.accept(job_id, collection, [document(doc_id) for doc_id in doc_ids], at)


async def listed(store: Store, condition: JobFilter = ANY, limit: int = 10) -> list[str]:
    """Return the jobs of all pages."""
    found, before = [], None
    while True:
        page = await store.jobs(before, limit, condition)
        assert len(page.jobs) <= limit
        found += [job.job_id for job in page.jobs]
        before = page.before
        if before is None:
            return found


async def test_jobs_are_listed_with_the_newest_first_and_ties_by_id_on_pages_of_any_size(store: Store):
    for job_id, at in (("b", NOW), ("a", NOW), ("c", NOW + 1), ("d", NOW - 1)):
        await accept(store, job_id, job_id, at=at)
    for limit in (1, 2, 3, 4, 5):
        assert await listed(store, limit=limit) == ["c", "b", "a", "d"]
    assert (await store.jobs(None, 4, ANY)).before is None


async def test_a_cursor_stays_where_it_is_while_jobs_come_and_go(store: Store):
    for number in range(4):
        await accept(store, f"job{number}", "same", at=NOW + number)
    first = await store.jobs(None, 2, ANY)
    await accept(store, "newer", "same", at=NOW + 10)
    await embed_pending(store)
    await store.forget_jobs(2 * NOW)
    assert first.before == (NOW + 2, "job2")
    await accept(store, "older", "other", at=NOW + 1)
    assert [job.job_id for job in (await store.jobs(first.before, 2, ANY)).jobs] == ["older"]


async def test_a_list_has_the_jobs_of_a_status_and_a_collection(store: Store):
    await accept(store, "done", "a")
    await embed_pending(store)
    await accept(store, "bad", "b")
    (passage,) = await pending_documents(store)
    await store.queue.fail(passage.passage_id, "no")
    await accept(store, "gone", "c")
    await store.cancel("gone", NOW)
    await accept(store, "waits", "d", collection="books")
    await accept(store, "goes on", "a", "e")
    states = {"completed": "done", "failed": "bad", "cancelled": "gone", "pending": "waits", "running": "goes on"}
    for state, job_id in states.items():
        assert await listed(store, JobFilter(state)) == [job_id]  # type: ignore[arg-type]
    assert await listed(store, JobFilter(collection="books")) == ["waits"]
    assert await listed(store, JobFilter(begin="wai")) == ["waits"]
    assert await listed(store, JobFilter("completed", "books")) == []
    assert all(job.failures == [] for job in (await store.jobs(None, 10, ANY)).jobs)


@pytest.mark.parametrize("scanned", [1, 2, 3, 5])
async def test_a_page_ends_after_the_jobs_that_it_may_look_at(
    store: Store, scanned: int, monkeypatch: pytest.MonkeyPatch
):
    for module in ("sqlite.reads", "memory.jobs", "postgres.reads"):
        monkeypatch.setattr(f"tandem_gateway.adapters.{module}.JOBS_SCANNED", scanned)
    await accept(store, "books", "a", at=NOW, collection="books")
    for number in range(4):
        await accept(store, f"job{number}", "a", at=NOW + 1 + number)
    assert await listed(store, JobFilter(collection="books")) == ["books"]
    assert await listed(store, limit=1) == ["job3", "job2", "job1", "job0", "books"]
    assert len((await store.jobs(None, 10, ANY)).jobs) == scanned


def test_a_page_without_jobs_is_the_last():
    page = job_pages.job_page([], 5, ANY, more=False)
    assert (page.jobs, page.before) == ([], None)


async def test_jobs_that_have_ended_and_unknown_ones_are_not_unfinished(store: Store):
    await accept(store, "done", "a")
    await embed_pending(store)
    await accept(store, "waits", "b")
    assert await store.unfinished(["done", "waits", "unknown", 'a "quoted" one']) == {"waits"}
    assert await store.unfinished([]) == set()


async def test_a_cancelled_document_that_is_new_is_gone_and_one_that_would_replace_stays_as_it_was(store: Store):
    await accept(store, "first", "old", "kept")
    await embed_pending(store)
    newer = [document("old", "a newer text"), document("new"), document("kept")]
    await store.accept("job", "default", newer, NOW)
    job = await store.cancel("job", NOW + 5)
    assert job is not None
    assert (job.total, job.processed, job.unchanged, job.cancelled, job.failed) == (3, 3, 1, 2, 0)
    assert (job.state, job.finished_at) == ("cancelled", NOW + 5)
    assert await store.document("default", "new") is None
    old = await store.document("default", "old")
    assert old is not None
    assert (old.text, old.embedded) == ("text of old", True)
    assert await counts(store) == (2, 0)
    assert await store.job("job") == job
    assert await store.queue.claim("worker", 10, 60.0) is None


async def test_what_is_embedded_already_stays_and_a_batch_under_way_has_no_effect(store: Store):
    await accept(store, "job", "a", "b", "c")
    await complete(store, await claimed(store, 1))
    under_way = await claimed(store, 1)
    job = await store.cancel("job", NOW)
    assert job is not None
    assert (job.processed, job.cancelled, job.state) == (3, 2, "cancelled")
    await complete(store, under_way)
    assert await counts(store) == (1, 0)
    assert await store.job("job") == job


async def test_a_document_that_another_job_waits_for_too_stays(store: Store):
    await accept(store, "mine", "a", "a", "b")
    await accept(store, "other", "a")
    job = await store.cancel("mine", NOW)
    assert job is not None
    assert (job.cancelled, job.state) == (3, "cancelled")
    assert await counts(store) == (0, 1)
    await embed_pending(store)
    assert (await store.job("other")).state == "completed"  # type: ignore[union-attr]
    assert await store.job("mine") == job


async def test_a_job_that_has_ended_stays_as_it_is_and_an_unknown_one_is_none(store: Store):
    await accept(store, "done", "a")
    await embed_pending(store)
    before = await store.job("done")
    assert await store.cancel("done", NOW) == before
    assert await store.cancel("unknown", NOW) is None
    assert await counts(store) == (1, 0)


async def test_a_step_cancels_few_documents(store: Store, monkeypatch: pytest.MonkeyPatch):
    assert port.CANCELLED_AT_ONCE >= 100
    for module in ("sqlite.writes", "memory.jobs", "postgres.writes"):
        monkeypatch.setattr(f"tandem_gateway.adapters.{module}.CANCELLED_AT_ONCE", 2)
    await accept(store, "job", *"abcde")
    done = []
    for _ in range(3):
        job = await store.cancel("job", NOW)
        assert job is not None
        done.append((job.cancelled, job.state))
    assert done == [(2, "running"), (4, "running"), (5, "cancelled")]


async def test_the_job_of_a_deleted_collection_can_be_cancelled(store: Store):
    await accept(store, "job", "a", collection="books")
    await store.delete_collection("books")
    job = await store.cancel("job", NOW)
    assert job is not None
    assert job.finished_at is not None


async def test_the_progress_of_jobs_is_that_of_the_jobs_without_failures(store: Store):
    await accept(store, "bad", "a", "b")
    first, _ = await pending_documents(store)
    await store.queue.fail(first.passage_id, "no")
    await accept(store, "waits", "c")
    await accept(store, "other", "d")
    found = {job.job_id: job for job in await store.progress(["waits", "bad", "unknown", "waits"])}
    assert set(found) == {"waits", "bad"}
    assert found["waits"] == await store.job("waits")
    assert (found["bad"].processed, found["bad"].failed, found["bad"].failures) == (1, 1, [])
    assert await store.progress([]) == []
