"""The scheduler with a model that the test holds, breaks and kills."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import pytest

from tandem_embedder.batching.admission import DrainRate
from tandem_embedder.batching.batch_queue import BatchLimits
from tandem_embedder.batching.scheduler import Scheduler
from tandem_embedder.errors import DeadlineExceeded, ModelError, NotReady
from tests.embedder.serving.doubles import Clock, FakeModel, Recorder, ids_of, vector_of


@dataclass
class SchedulerFixture:
    """A scheduler and its collaborators."""

    model: FakeModel
    scheduler: Scheduler
    recorder: Recorder
    rate: DrainRate
    clock: Clock
    deaths: list[str] = field(default_factory=list)

    @property
    def later(self) -> float:
        return self.clock.now + 30


@asynccontextmanager
async def scheduling(
    *, held: bool = False, workers: int = 1, limits: BatchLimits | None = None
) -> AsyncIterator[SchedulerFixture]:
    model, recorder, rate, clock, deaths = FakeModel(held=held), Recorder(), DrainRate(), Clock(), []
    scheduler = Scheduler(model, limits or BatchLimits(), recorder, rate, deaths.append, workers, clock)
    scheduler.start()
    try:
        yield SchedulerFixture(model, scheduler, recorder, rate, clock, deaths)
    finally:
        model.gate.set()
        await scheduler.close()


async def test_every_request_gets_its_own_rows_in_its_own_order():
    async with scheduling(held=True) as fixture:
        first = fixture.scheduler.submit("interactive", [ids_of(9, 9)], fixture.later)
        await fixture.model.wait_called()
        mixed = [ids_of(1, 2, 3), ids_of(4, 5), ids_of(6, 7, 8), ids_of(1, 1, 1, 1, 1, 1, 1, 1)]
        second = fixture.scheduler.submit("interactive", mixed, fixture.later)
        third = fixture.scheduler.submit("bulk", [ids_of(3, 2, 1)], fixture.later)
        fixture.model.gate.set()
        assert np.array_equal(await first.future, [vector_of(ids_of(9, 9))])
        assert np.array_equal(await second.future, [vector_of(ids) for ids in mixed])
        assert np.array_equal(await third.future, [vector_of(ids_of(3, 2, 1))])


async def test_texts_queued_while_the_model_is_busy_form_one_batch():
    async with scheduling(held=True) as fixture:
        tickets = [fixture.scheduler.submit("interactive", [ids_of(1, 2)], fixture.later)]
        await fixture.model.wait_called()
        tickets += [fixture.scheduler.submit("interactive", [ids_of(n, n)], fixture.later) for n in range(5)]
        fixture.model.gate.set()
        await asyncio.gather(*(ticket.future for ticket in tickets))
        assert [len(batch) for batch in fixture.model.batches] == [1, 5]
        assert [(report.rows, report.tokens) for report in fixture.recorder.reports] == [(1, 2), (5, 10)]


async def test_progress_is_reported_as_texts_are_done():
    async with scheduling(limits=BatchLimits(max_tokens=4, max_bulk_tokens=4)) as fixture:
        done: list[int] = []
        ticket = fixture.scheduler.submit(
            "bulk", [ids_of(1, 2), ids_of(1, 2), ids_of(1, 2, 3)], fixture.later, done.append
        )
        await ticket.future
        assert sorted(done) == [2, 2, 3]
        assert len(fixture.model.batches) == 2


async def test_a_text_past_its_deadline_never_reaches_the_model():
    async with scheduling(held=True) as fixture:
        running = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        late = fixture.scheduler.submit("interactive", [ids_of(7, 7), ids_of(8, 8)], fixture.clock.now + 5)
        fixture.clock.now += 5
        fixture.model.gate.set()
        await running.future
        with pytest.raises(DeadlineExceeded):
            await late.future
        assert len(fixture.model.batches) == 1
        assert fixture.recorder.expired_texts >= 1


async def test_an_abandoned_request_never_reaches_the_model():
    async with scheduling(held=True) as fixture:
        running = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        dropped = fixture.scheduler.submit("interactive", [ids_of(7, 7), ids_of(8, 8)], fixture.later)
        kept = fixture.scheduler.submit("interactive", [ids_of(5, 5)], fixture.later)
        fixture.scheduler.abandon(dropped)
        fixture.model.gate.set()
        await asyncio.gather(running.future, kept.future)
        assert [len(batch) for batch in fixture.model.batches] == [1, 1]
        assert fixture.recorder.abandoned_texts == 2
        assert dropped.future.cancelled()


async def test_a_request_abandoned_in_the_model_does_not_affect_others():
    async with scheduling(held=True) as fixture:
        gone = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        fixture.scheduler.abandon(gone)
        kept = fixture.scheduler.submit("interactive", [ids_of(5, 5)], fixture.later)
        fixture.model.gate.set()
        assert np.array_equal(await kept.future, [vector_of(ids_of(5, 5))])


@pytest.mark.parametrize("error", [ValueError("broken"), StopIteration(), MemoryError(), ModelError("not finite")])
async def test_a_model_error_fails_its_batch_and_nothing_else(error: Exception):
    async with scheduling(held=True) as fixture:
        fixture.model.errors.append(error)
        failing = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        fixture.model.gate.set()
        with pytest.raises(ModelError):
            await failing.future
        after = fixture.scheduler.submit("interactive", [ids_of(2, 2)], fixture.later)
        assert np.array_equal(await after.future, [vector_of(ids_of(2, 2))])
        assert fixture.deaths == []


async def test_a_batch_that_fails_takes_the_rest_of_its_requests_out_of_the_queue():
    async with scheduling(held=True, limits=BatchLimits(max_tokens=4, max_bulk_tokens=4)) as fixture:
        fixture.model.errors.append(ValueError("broken"))
        failing = fixture.scheduler.submit("interactive", [ids_of(1, 1)] * 10, fixture.later)
        await fixture.model.wait_called()
        fixture.model.gate.set()
        with pytest.raises(ModelError):
            await failing.future
        await fixture.scheduler.drain()
        assert len(fixture.model.batches) == 1


async def test_a_model_that_returns_too_few_rows_is_an_error_and_not_a_mix_up():
    async with scheduling() as fixture:
        fixture.model.embed = lambda rows: np.zeros((len(rows) + 1, 4), dtype=np.float32)  # type: ignore[method-assign]
        ticket = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        with pytest.raises(ModelError):
            await ticket.future


class Killed(BaseException):
    """An error that no handler of ordinary errors catches."""


@pytest.mark.parametrize("error", [Killed("now"), SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_dead_worker_fails_all_requests_and_is_reported(error: BaseException, workers: int):
    async with scheduling(held=True, workers=workers) as fixture:
        fixture.model.errors.append(error)
        running = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        queued = [
            fixture.scheduler.submit(lane, [ids_of(2, 2)] * 400, fixture.later) for lane in ("interactive", "bulk")
        ]
        fixture.model.gate.set()
        with pytest.raises(NotReady) if workers == 1 else suppress(NotReady):
            await running.future  # the other worker may have got the error, and this one its vectors
        for ticket in queued:
            with pytest.raises(NotReady, match="a worker died"):
                await ticket.future
        assert len(fixture.deaths) == 1
        with pytest.raises(NotReady, match="a worker died"):
            fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.scheduler.drain()


async def test_a_defect_of_the_scheduler_itself_is_a_death_too():
    async with scheduling() as fixture:
        fixture.recorder.batch = lambda report: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        await fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later).future
        await fixture.scheduler.drain()
        assert [death.split(":")[1].strip() for death in fixture.deaths] == ["ZeroDivisionError"]


async def test_a_defect_while_rows_are_handed_out_leaves_nobody_waiting():
    def defect(tokens: int) -> None:
        raise ZeroDivisionError

    async with scheduling(held=True) as fixture:
        broken = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later, defect)
        after = fixture.scheduler.submit("interactive", [ids_of(2, 2)], fixture.later)
        await fixture.model.wait_called()
        fixture.model.gate.set()
        for ticket in (broken, after):
            with pytest.raises(NotReady, match="a worker died: ZeroDivisionError"):
                await asyncio.wait_for(ticket.future, 10)
        assert len(fixture.deaths) == 1
        await fixture.scheduler.drain()


async def test_draining_serves_accepted_requests_and_refuses_new_ones():
    async with scheduling(held=True) as fixture:
        accepted = [fixture.scheduler.submit("bulk", [ids_of(n, n)], fixture.later) for n in range(3)]
        await fixture.model.wait_called()
        draining = asyncio.create_task(fixture.scheduler.drain())
        await asyncio.sleep(0)
        with pytest.raises(NotReady, match="shutting down"):
            fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        assert not draining.done()
        fixture.model.gate.set()
        await draining
        assert all(ticket.future.done() for ticket in accepted)
        assert np.array_equal(await accepted[2].future, [vector_of(ids_of(2, 2))])


async def test_closing_fails_the_remaining_requests_and_reports_a_stuck_thread():
    async with scheduling(held=True) as fixture:
        running = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        queued = fixture.scheduler.submit("interactive", [ids_of(2, 2)], fixture.later)
        assert await fixture.scheduler.close() is False
        for ticket in (running, queued):
            with pytest.raises(NotReady, match="shutting down"):
                await ticket.future


async def test_two_workers_run_two_batches_at_once():
    async with scheduling(held=True, workers=2) as fixture:
        first = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        second = fixture.scheduler.submit("interactive", [ids_of(2, 2)], fixture.later)
        await fixture.model.wait_called()
        fixture.model.gate.set()
        assert np.array_equal(await first.future, [vector_of(ids_of(1, 1))])
        assert np.array_equal(await second.future, [vector_of(ids_of(2, 2))])


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_query_does_not_wait_for_bulk(workers: int):
    async with scheduling(held=True, workers=workers) as fixture:
        bulk = []
        for _ in range(workers):
            bulk.append(fixture.scheduler.submit("bulk", [ids_of(1, 1)], fixture.later))
            await fixture.model.wait_called()
        queued = fixture.scheduler.submit("bulk", [ids_of(3, 3)], fixture.later)
        query = fixture.scheduler.submit("interactive", [ids_of(2, 2)], fixture.later)
        await fixture.model.wait_called()
        assert [len(batch) for batch in fixture.model.batches] == [1] * (workers + 1)
        assert np.array_equal(fixture.model.batches[-1], [ids_of(2, 2)])
        fixture.model.gate.set()
        await asyncio.gather(*(ticket.future for ticket in [*bulk, query, queued]))


async def test_the_rate_is_measured():
    async with scheduling() as fixture:
        await fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later).future
        await fixture.scheduler.drain()
        assert fixture.rate.tokens_per_second != DrainRate().tokens_per_second
