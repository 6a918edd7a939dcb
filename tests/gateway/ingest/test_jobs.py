"""Jobs: their speed, the callers that wait for their end, and cancellation in steps."""

import asyncio
import dataclasses
from collections.abc import Collection

import pytest

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.errors import Conflict, NotFound, StorageUnavailable
from tandem_gateway.records.documents import JobRecord
from tandem_gateway.use_cases import job_waiting
from tandem_gateway.use_cases.job_waiting import JobWaiting
from tandem_gateway.use_cases.jobs import Jobs, documents_per_second, seconds_left
from tests.support.fakes import eventually
from tests.support.stores import LIMITS, document, pending_documents

JOB = "job_" + "0" * 32


def _nothing() -> None:
    pass


def record(total: int = 10, processed: int = 0, unchanged: int = 0, cancelled: int = 0, **times: float) -> JobRecord:
    return JobRecord(
        JOB, "c", total, processed, unchanged, 0, 0.0, times.get("start"), times.get("end"), cancelled=cancelled
    )


@pytest.mark.parametrize(
    ("job", "speed", "left"),
    [
        (record(), None, None),
        (record(processed=5, unchanged=5, start=100.0), None, None),
        (record(processed=4, start=100.0), 2.0, 3.0),
        (record(processed=6, unchanged=2, start=100.0), 2.0, 2.0),
        (record(processed=10, start=100.0, end=105.0), 2.0, None),
        (record(processed=10, cancelled=5, start=100.0, end=105.0), 1.0, None),
        (record(processed=4, start=102.0), None, None),
        (record(processed=4, start=103.0), None, None),
    ],
)
def test_the_speed_is_of_what_was_embedded_and_tells_the_rest(job: JobRecord, speed: float | None, left: float | None):
    assert (documents_per_second(job, 102.0), seconds_left(job, 102.0)) == (speed, left)


def test_a_retried_job_has_no_speed_because_it_paused():
    retried = dataclasses.replace(record(processed=4, start=100.0), retried_at=101.0)
    assert (documents_per_second(retried, 102.0), seconds_left(retried, 102.0)) == (None, None)


async def test_a_retry_tells_the_embedding_worker():
    store = MemoryStore(limits=LIMITS, batch_bytes=1)
    told: list[str] = []
    jobs = Jobs(store, JobWaiting(store.unfinished), _nothing, lambda: told.append("waiting"))
    for job_id, message in (("job_" + "1" * 32, "there is no job"), ("x", "is no job id")):
        with pytest.raises(NotFound, match=message):
            await jobs.retry(job_id)
    await store.accept(JOB, "default", [document("a")], 0.0)
    with pytest.raises(Conflict):
        await jobs.retry(JOB)
    (waiting,) = await pending_documents(store)  # type: ignore[arg-type]
    await store.queue.fail(waiting.passage_id, "refused")
    assert told == []
    assert (await jobs.retry(JOB)).retried == 1
    assert told == ["waiting"]


class NoLists(MemoryStore):
    """A store that keeps no lists."""

    async def job_documents(self, *arguments: object) -> None:  # type: ignore[override]
        return None


async def test_a_list_that_is_not_kept_is_another_error_than_a_job_that_is_not_there() -> None:
    store = NoLists(limits=LIMITS, batch_bytes=1)
    jobs = Jobs(store, JobWaiting(store.unfinished), _nothing, _nothing)
    await store.accept(JOB, "default", [], 0.0)
    with pytest.raises(NotFound, match="is not kept; the lists of the oldest jobs are"):
        await jobs.documents(JOB, 0, 10)
    for job_id, message in (("job_" + "1" * 32, "there is no job"), ("x", "is no job id")):
        with pytest.raises(NotFound, match=message):
            await jobs.documents(job_id, 0, 10)


class Ended:
    """Tells which jobs have not ended, and counts how often it is asked."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.error: Exception | None = None
        self.asked: list[set[str]] = []

    async def unfinished(self, job_ids: Collection[str]) -> set[str]:
        self.asked.append(set(job_ids))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return set(job_ids) - self.ended


async def test_many_callers_of_many_jobs_are_one_question_to_the_store(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_waiting, "TICK_SECONDS", 60.0)
    store = Ended()
    waiting = JobWaiting(store.unfinished)
    callers = [asyncio.ensure_future(waiting.wait(f"job{number % 5}", 60)) for number in range(500)]
    await eventually(lambda: asyncio.sleep(0, store.asked), bool)
    await eventually(lambda: asyncio.sleep(0, store.asked[-1]), lambda asked: len(asked) == 5)
    assert waiting.waiting == 5
    asked = len(store.asked)
    store.ended = {"job0", "job1"}
    waiting.notify()
    await asyncio.gather(*(caller for number, caller in enumerate(callers) if number % 5 < 2))
    assert len(store.asked) == asked + 1
    assert waiting.waiting == 3
    waiting.release()
    await asyncio.gather(*callers)
    await waiting.wait("job4", 60)
    assert waiting.waiting == 0


async def test_the_end_is_noticed_without_a_notice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_waiting, "TICK_SECONDS", 0.001)
    store = Ended()
    waiting = JobWaiting(store.unfinished)
    caller = asyncio.ensure_future(waiting.wait("job", 60))
    await eventually(lambda: asyncio.sleep(0, store.asked), lambda asked: len(asked) > 2)
    store.ended.add("job")
    await caller


async def test_a_caller_waits_no_longer_than_it_said_and_leaves_nothing():
    store = Ended()
    waiting = JobWaiting(store.unfinished)
    other = asyncio.ensure_future(waiting.wait("job", 60))
    await waiting.wait("job", 0.01)
    assert waiting.waiting == 1
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert waiting.waiting == 0


async def test_a_store_that_cannot_be_read_is_told_and_asked_again_by_the_next_caller():
    store = Ended()
    store.error = StorageUnavailable("no disk")
    waiting = JobWaiting(store.unfinished)
    with pytest.raises(StorageUnavailable, match="no disk"):
        await waiting.wait("job", 60)
    store.error = None
    store.ended.add("job")
    await waiting.wait("job", 60)


class Steps:
    """A store whose job takes some calls to cancel."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    async def job(self, job_id: str) -> JobRecord | None:
        return record(total=3) if self.calls else record(total=3, processed=3, cancelled=3, start=1.0, end=2.0)

    async def cancel(self, job_id: str, now: float) -> JobRecord | None:
        self.calls -= 1
        return await self.job(job_id)


async def test_a_job_is_cancelled_step_by_step_until_it_has_ended():
    store, changes = Steps(3), []
    jobs = Jobs(store, JobWaiting(Ended().unfinished), lambda: changes.append(store.calls), _nothing)  # type: ignore[arg-type]
    assert (await jobs.cancel(JOB)).state == "cancelled"
    assert changes == [2, 1, 0]
    assert (await jobs.cancel(JOB)).state == "cancelled"
    assert store.calls == 0
    with pytest.raises(NotFound, match="is no job id"):
        await jobs.cancel("x")


async def test_a_job_that_is_waited_for_is_returned_as_it_is_at_its_end():
    store, ended = Steps(1), Ended()
    jobs = Jobs(store, JobWaiting(ended.unfinished), _nothing, _nothing)  # type: ignore[arg-type]
    assert (await jobs.job(JOB, 0.01)).finished_at is None
    waits = asyncio.ensure_future(jobs.job(JOB, 60))
    await eventually(lambda: asyncio.sleep(0, len(ended.asked)), lambda asked: asked > 1)
    ended.ended.add(JOB)
    await jobs.cancel(JOB)
    assert (await waits).state == "cancelled"
    jobs.release()
