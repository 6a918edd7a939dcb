"""The behaviour that all stores share for idempotency keys: one key is one job, for a day."""

import asyncio

import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.errors import Conflict, Overloaded
from tandem_gateway.ports.documents import KEY_SECONDS
from tandem_gateway.records.documents import IdempotencyKey
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import counts
from tests.support.stores import NOW, document, embed_pending

KEY = IdempotencyKey("nightly", b"one request")


async def test_a_repeated_request_gets_the_first_job_as_it_is_now_and_stores_nothing(store: Store):
    await store.accept("job1", "default", [document("a")], NOW, KEY)
    await embed_pending(store)
    again = await store.accept("job2", "default", [document("a"), document("b")], NOW + 1, KEY)
    assert (again.job_id, again.total, again.processed) == ("job1", 1, 1)
    assert await store.job("job2") is None
    assert await counts(store) == (1, 0)


async def test_the_key_with_another_request_is_a_conflict(store: Store):
    await store.accept("job1", "default", [document("a")], NOW, KEY)
    with pytest.raises(Conflict) as conflict:
        await store.accept("job2", "default", [document("b")], NOW, IdempotencyKey("nightly", b"another"))
    assert conflict.value.param == "idempotency-key"
    assert await counts(store) == (0, 1)
    other = await store.accept("job3", "default", [document("b")], NOW, IdempotencyKey("another", b"another"))
    assert other.job_id == "job3"


async def test_a_key_is_free_after_a_day(store: Store):
    await store.accept("job1", "default", [document("a")], NOW, KEY)
    late = NOW + KEY_SECONDS
    assert (await store.accept("job2", "default", [document("b")], late - 1, KEY)).job_id == "job1"
    other = IdempotencyKey("nightly", b"another")
    assert (await store.accept("job3", "default", [document("b")], late, other)).job_id == "job3"
    assert (await store.accept("job4", "default", [document("b")], late + 1, other)).job_id == "job3"


async def test_requests_at_the_same_time_create_one_job(store: Store):
    jobs = await asyncio.gather(
        *(store.accept(f"job{number}", "default", [document("a")], NOW, KEY) for number in range(20))
    )
    assert len({job.job_id for job in jobs}) == 1
    assert await counts(store) == (0, 1)


async def test_a_refused_request_leaves_its_key_free_and_a_full_queue_refuses_no_repetition(backend: Backend):
    store = backend.open(Limits(collections=5, pending_documents=1, finished_jobs=10))
    with pytest.raises(Overloaded):
        await store.accept("job1", "default", [document("a"), document("b")], NOW, KEY)
    assert (await store.accept("job2", "default", [document("a")], NOW, KEY)).job_id == "job2"
    assert (await store.accept("job3", "default", [document("a")], NOW, KEY)).job_id == "job2"


async def test_a_key_is_forgotten_with_its_job(store: Store):
    await store.accept("job1", "default", [document("a")], NOW, KEY)
    await embed_pending(store)
    await store.forget_jobs(2 * NOW)
    assert (await store.accept("job2", "default", [document("b")], NOW, KEY)).job_id == "job2"
