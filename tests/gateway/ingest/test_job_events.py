"""Callers that follow jobs: events, heartbeats, the bound, and every way in which they end."""

import asyncio
from collections.abc import AsyncGenerator, Collection

import pytest

from tandem_gateway.errors import Overloaded, StorageUnavailable
from tandem_gateway.records.documents import JobRecord
from tandem_gateway.use_cases import job_events
from tandem_gateway.use_cases.job_events import JobEvent, JobEvents
from tests.support.fakes import eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_events, "INTERVAL_SECONDS", 0.001)


class Store:
    """Jobs that the test moves on."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.asked: list[list[str]] = []
        self.error: Exception | None = None
        self.reason: str | None = None

    def put(self, processed: int, job_id: str = "job", total: int = 3) -> None:
        end = 9.0 if processed == total else None
        self.jobs[job_id] = JobRecord(job_id, "c", total, processed, 0, 0, 1.0, 2.0 if processed else None, end)

    async def progress(self, job_ids: Collection[str]) -> list[JobRecord]:
        self.asked.append(sorted(job_ids))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return [self.jobs[job_id] for job_id in job_ids if job_id in self.jobs]

    def blocked(self, collection: str) -> str | None:
        return self.reason


@pytest.fixture
def store() -> Store:
    made = Store()
    made.put(0)
    return made


@pytest.fixture
def events(store: Store) -> JobEvents:
    return JobEvents(store.progress, store.blocked)


async def processed(stream: AsyncGenerator[JobEvent | None]) -> int:
    event = await anext(stream)
    assert event is not None
    return event.job.processed


async def rest(stream: AsyncGenerator[JobEvent | None]) -> list[int | None]:
    return [None if event is None else event.job.processed async for event in stream]


async def looked(store: Store, times: int = 2) -> None:
    """Return when the store was asked so many times more."""
    wanted = len(store.asked) + times
    await eventually(lambda: asyncio.sleep(0, len(store.asked)), lambda asked: asked >= wanted)


async def test_an_event_comes_at_once_and_after_each_change_and_the_last_is_of_the_end(store: Store, events: JobEvents):
    stream = events.follow("job")
    assert await processed(stream) == 0
    following = asyncio.ensure_future(processed(stream))
    await looked(store)
    assert not following.done()
    store.put(1)
    assert await following == 1
    store.put(3)
    assert await rest(stream) == [3]
    assert events.followers == 0


async def test_a_job_that_has_ended_has_one_event(store: Store, events: JobEvents):
    store.put(3)
    assert await rest(events.follow("job")) == [3]


async def test_the_reason_of_a_delay_is_a_change_while_the_job_runs(store: Store, events: JobEvents):
    stream = events.follow("job")
    assert await anext(stream) == JobEvent(store.jobs["job"], None)
    store.reason = "no embedder"
    assert await anext(stream) == JobEvent(store.jobs["job"], "no embedder")
    store.put(3)
    assert await anext(stream) == JobEvent(store.jobs["job"], None)


async def test_a_slow_caller_gets_the_newest_state_only(store: Store, events: JobEvents):
    stream = events.follow("job")
    assert await processed(stream) == 0
    for number in (1, 2):
        store.put(number)
        await looked(store)
    assert await processed(stream) == 2
    for total in range(10, 20):
        store.put(3, total=total)
        await looked(store)
    store.put(3)
    await looked(store)
    assert await rest(stream) == [3]


async def test_without_a_change_there_are_heartbeats(store: Store, events: JobEvents, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_events, "HEARTBEAT_SECONDS", 0.001)
    stream = events.follow("job")
    assert await processed(stream) == 0
    assert [await anext(stream) for _ in range(3)] == [None] * 3
    store.put(3)
    assert [number for number in await rest(stream) if number is not None] == [3]


async def test_many_callers_are_one_question_to_the_store(store: Store, events: JobEvents):
    for number in range(3):
        store.put(0, f"job{number}")
    streams = [events.follow(f"job{number % 3}") for number in range(30)]
    assert await asyncio.gather(*map(processed, streams)) == [0] * 30
    await looked(store)
    assert store.asked[-1] == ["job0", "job1", "job2"]
    for number in range(3):
        store.put(3, f"job{number}")
    assert await asyncio.gather(*map(rest, streams)) == [[3]] * 30
    asked = len(store.asked)
    assert events._task is not None
    await events._task
    assert len(store.asked) <= asked + 1  # nobody asks for nobody


async def test_no_more_than_the_bound_follow_and_a_place_is_free_again(
    store: Store, events: JobEvents, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job_events, "MAX_FOLLOWERS", 2)
    streams = [events.follow("job") for _ in range(2)]
    for stream in streams:
        await processed(stream)
    with pytest.raises(Overloaded, match="2 requests follow jobs"):
        await anext(events.follow("job"))
    await streams[0].aclose()
    assert events.followers == 1
    assert await processed(events.follow("job")) == 0


async def test_a_caller_that_is_cancelled_leaves_nothing(store: Store, events: JobEvents):
    stream = events.follow("job")
    await processed(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await looked(store)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert events.followers == 0
    assert dict(events._followers) == {}


async def test_all_end_when_the_service_stops(store: Store, events: JobEvents):
    streams = [events.follow("job") for _ in range(3)]
    for stream in streams:
        await processed(stream)
    events.release()
    assert await asyncio.gather(*map(rest, streams)) == [[]] * 3
    assert await rest(events.follow("job")) == [0]


async def test_a_job_that_is_forgotten_ends_without_an_event(store: Store, events: JobEvents):
    stream = events.follow("job")
    await processed(stream)
    del store.jobs["job"]
    assert await rest(stream) == []
    assert await rest(events.follow("job")) == []


async def test_a_store_that_cannot_be_read_ends_them_with_the_error(store: Store, events: JobEvents):
    stream = events.follow("job")
    await processed(stream)
    store.error = StorageUnavailable("no disk")
    with pytest.raises(StorageUnavailable, match="no disk"):
        await rest(stream)
    with pytest.raises(StorageUnavailable, match="no disk"):
        await anext(events.follow("job"))
    assert events.followers == 0
