"""The behaviour that all stores share for what they forget: finished jobs, and removals that every index has."""

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.ports.change_log import IndexFeed
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import collection
from tests.support.stores import NOW, document, ingest, pending_documents


async def existing(store: Store, *job_ids: str) -> list[str]:
    return [job_id for job_id in job_ids if await store.job(job_id) is not None]


async def finish_one(store: Store, job_id: str, at: float) -> None:
    """Make a job that finishes at a time: its document is unchanged."""
    assert (await store.accept(job_id, "default", [document("a")], at)).finished_at == at


async def test_an_unknown_job_is_none(store: Store):
    assert await store.job("job_unknown") is None


async def test_finished_jobs_are_forgotten_after_their_time_and_others_stay(store: Store):
    await store.accept("failed", "default", [document("x")], NOW)
    (row,) = await pending_documents(store, 1)
    await store.queue.fail(row.passage_id, "no")
    await store.accept("running", "default", [document("a")], NOW)
    finished = (await store.job("failed")).finished_at  # type: ignore[union-attr]
    assert finished is not None
    assert await store.forget_jobs(finished) == 0
    assert await store.forget_jobs(finished + 1) == 1
    assert await store.job("failed") is None
    assert await store.job("running") is not None


async def test_the_newest_finished_jobs_are_kept_up_to_the_limit_and_all_unfinished_ones(backend: Backend):
    store = backend.open(Limits(collections=5, pending_documents=100, finished_jobs=3))
    await ingest(store, [document("a")], "first")
    await store.accept("waits", "other", [document("b")], NOW)
    for number in range(5):
        await finish_one(store, f"job{number}", 2 * NOW + number)
    await store.forget_jobs(0.0)
    assert await existing(store, "first", "waits", *(f"job{number}" for number in range(5))) == [
        "waits",
        "job2",
        "job3",
        "job4",
    ]
    assert await store.forget_jobs(2 * NOW + 4) == 2
    assert await existing(store, "waits", "job2", "job3", "job4") == ["waits", "job4"]
    assert await store.forget_jobs(3 * NOW) == 1
    assert await store.forget_jobs(3 * NOW) == 0


async def test_a_job_without_documents_is_finished_at_once(store: Store):
    job = await store.accept("empty", "default", [], NOW)
    assert (job.total, job.processed, job.started_at, job.finished_at) == (0, 0, None, NOW)


async def test_removals_are_forgotten_up_to_the_number_given_and_never_backwards(store: Store, feed: IndexFeed):
    await ingest(store, [document(doc_id) for doc_id in "abc"])
    record, numbers = await collection(store), []
    for doc_id in "abc":
        await store.delete("default", doc_id)
        numbers.append(feed.last_change())
    assert await store.forget_removals(record.space_id, numbers[1]) == 2
    assert await store.forget_removals(record.space_id, numbers[0]) == 0
    assert feed.changes(record, after=0, removals_after=numbers[0], limit=10) is None
    left = feed.changes(record, after=0, removals_after=numbers[1], limit=10)
    assert left is not None
    assert len(left.removed) == 1
    assert await store.forget_removals(record.space_id, feed.last_change() + 100) == 1
    assert await store.forget_removals(record.space_id + 100, 10) == 0


async def test_removals_of_other_collections_stay(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    await ingest(store, [document("a")], job_id="job2", collection="books")
    await store.delete("default", "a")
    await store.delete("books", "a")
    default, books = await collection(store), await collection(store, "books")
    assert await store.forget_removals(default.space_id, feed.last_change()) == 1
    found = feed.changes(books, after=0, removals_after=0, limit=10)
    assert found is not None
    assert len(found.removed) == 1
