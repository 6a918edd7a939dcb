"""The spans of batches: each links to its requests, and each request's own span to its batches."""

import asyncio

from tandem_embedder.batching.batch_queue import BatchLimits
from tandem_embedder.batching.scheduler import Ticket
from tandem_embedder.errors import DeadlineExceeded, ModelError
from tests.embedder.serving.doubles import ids_of
from tests.embedder.serving.test_scheduler import SchedulerFixture, scheduling
from tests.support.recording import Recording, links, request, span_id


def submit(
    fixture: SchedulerFixture, recording: Recording, texts: int = 1, seconds: float = 30.0
) -> tuple[Ticket, int]:
    """Submit texts within a request; return the ticket and the id of the request's span."""
    with request(recording) as context:
        ticket = fixture.scheduler.submit("interactive", [ids_of(1, 2)] * texts, fixture.clock.now + seconds)
    return ticket, span_id(context)


async def test_one_batch_of_several_requests() -> None:
    recording = Recording()
    async with scheduling(held=True) as fixture:
        first, first_id = submit(fixture, recording)
        await fixture.model.wait_called()
        requests = [submit(fixture, recording, texts) for texts in (1, 2)]
        untraced = fixture.scheduler.submit("interactive", [ids_of(5, 6)], fixture.later)
        fixture.model.gate.set()
        await asyncio.gather(first.future, untraced.future, *(ticket.future for ticket, _ in requests))
    alone, shared = recording.named("batch")
    assert links(alone) == {first_id}
    assert links(shared) == {each for _, each in requests}
    assert shared.parent is not None
    assert shared.parent.span_id == requests[0][1]
    assert dict(shared.attributes or {}) == {
        "tandem.lane": "interactive",
        "tandem.texts": 4,
        "tandem.tokens": 8,
        "tandem.padded_tokens": 8,
    }
    own = [span for span in recording.named("infer") if span.parent is not None]
    assert shared.context is not None
    assert alone.context is not None
    batch_of = {span.parent.span_id: links(span) for span in own if span.parent is not None}
    assert batch_of == {
        first_id: {alone.context.span_id},
        **{each: {shared.context.span_id} for _, each in requests},
    }
    assert len(recording.named("queue")) == 3


async def test_a_request_of_several_batches_has_one_span_that_links_to_all() -> None:
    recording = Recording()
    async with scheduling(limits=BatchLimits(max_tokens=8, max_bulk_tokens=8)) as fixture:
        ticket, _ = submit(fixture, recording, texts=12)
        await ticket.future
    batches = {span.context.span_id for span in recording.named("batch") if span.context is not None}
    assert len(batches) == 3
    (infer,) = recording.named("infer")
    assert links(infer) == batches


async def test_a_batch_on_which_the_model_fails() -> None:
    recording = Recording()
    async with scheduling() as fixture:
        fixture.model.errors.append(ModelError("a secret"))
        ticket, _ = submit(fixture, recording)
        await asyncio.wait([ticket.future])
        fixture.scheduler.abandon(ticket)
    failed = {span.name: dict(span.attributes or {}).get("error.type") for span in recording.spans()}
    assert (failed["batch"], failed["infer"], failed["queue"]) == ("ModelError", "ModelError", None)
    assert not any("secret" in span.to_json() for span in recording.spans())


async def test_a_request_that_never_reached_the_model() -> None:
    recording = Recording()
    async with scheduling(held=True) as fixture:
        running = fixture.scheduler.submit("interactive", [ids_of(1, 1)], fixture.later)
        await fixture.model.wait_called()
        late, _ = submit(fixture, recording, seconds=5.0)
        fixture.clock.now += 10
        fixture.model.gate.set()
        await running.future
        await asyncio.wait([late.future])
        assert isinstance(late.future.exception(), DeadlineExceeded)
    (queue,) = recording.named("queue")
    assert dict(queue.attributes or {}) == {"error.type": "DeadlineExceeded"}
    assert recording.named("batch") == []
