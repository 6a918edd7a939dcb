"""Carry out the decisions of ``batch_queue``: take a batch, run the model in a worker thread, distribute the vectors.

The scheduler adds no artificial delay: when a worker is free, the texts queued at that moment form the batch. Every
submitted request ends in exactly one of these ways, so no caller hangs:

- The request gets its vectors.
- The request's deadline passes.
- The model fails on one of its batches; other batches continue.
- A worker dies: all requests fail, the scheduler refuses new ones and calls ``on_death``.
- The service shuts down.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np

from tandem_embedder.batching.admission import DrainRate
from tandem_embedder.batching.batch_queue import Batch, BatchLimits, BatchQueue, Entry
from tandem_embedder.batching.lanes import LANES, Lane, extra_runs, has_room
from tandem_embedder.batching.spans import RequestSpans, begin_batch
from tandem_embedder.batching.worker_threads import WorkerThreads
from tandem_embedder.errors import DeadlineExceeded, EmbedderError, ModelError, NotReady
from tandem_embedder.ports import BatchReport, Ids, Model, Observer, Vectors
from tandem_runtime.trace import Span, current_span

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(slots=True, eq=False)
class Ticket:
    """One submitted request: await ``future`` for its vectors, ``(n, dim) float32``, then ``abandon`` it."""

    lane: Lane
    future: "asyncio.Future[Vectors]"
    on_progress: Callable[[int], None]
    rows: list[Vectors | None]
    entry_ids: range
    remaining: int
    queue_seconds: float = 0.0
    """Longest queue time among the request's texts."""
    spans: RequestSpans | None = None
    """Records the request's wait and its batches; None if the request is not traced."""


class _Payload(msgspec.Struct, frozen=True):
    """Payload of a queue entry: the request's ticket, the text's index in the request, and its token ids."""

    ticket: Ticket
    index: int
    ids: Ids


class _Run(msgspec.Struct, frozen=True, eq=False):
    """A running batch, and the queue time of each text in seconds."""

    batch: Batch[_Payload]
    waits: list[float]
    span: Span | None
    """None if no request of the batch is traced."""


@dataclass(slots=True)
class _Outcome:
    """Result of one run. Errors are values, so that no kind of exception is lost between threads."""

    vectors: Vectors | None = None
    error: BaseException | None = None
    seconds: float = 0.0


class Scheduler:
    """Owns the queue and the worker threads. Call all methods from the event loop's thread.

    Args:
        model: called from the worker threads.
        limits: limits of a batch.
        observer: notified of every batch and of texts that are dropped at their deadline or with their request.
        rate: receives the tokens and the inference time of every batch.
        on_death: called once, with the reason, when a worker has died.
        workers: number of batches of one lane that run at the same time; ``lanes`` has the rule for both lanes.
        clock: monotonic clock in seconds, on which deadlines are given.
    """

    def __init__(
        self,
        model: Model,
        limits: BatchLimits,
        observer: Observer,
        rate: DrainRate,
        on_death: Callable[[str], None],
        workers: int = 1,
        clock: Clock = time.monotonic,
    ) -> None:
        if workers < 1:
            raise ValueError(f"at least one worker is needed, not {workers}")
        self._model = model
        self._queue: BatchQueue[_Payload] = BatchQueue(limits)
        self._observer = observer
        self._rate = rate
        self._on_death = on_death
        self._clock = clock
        self._next_id = 0
        self._threads = WorkerThreads(self._call_model, workers + extra_runs(workers))
        self._workers = workers
        self._in_model: set[_Run] = set()
        self._will_dispatch = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._refusal: str | None = "the scheduler was not started"

    def start(self) -> None:
        """Start accepting requests."""
        self._refusal = None

    def submit(
        self,
        lane: Lane,
        texts: Sequence[Ids],
        deadline: float,
        on_progress: Callable[[int], None] = lambda tokens: None,
    ) -> Ticket:
        """Queue the texts of one request.

        Args:
            lane: lane that the texts wait in.
            texts: token ids of each text; at least one text.
            deadline: time at which texts that are still queued are dropped, on the scheduler's clock.
            on_progress: called with the number of tokens after the model has computed a text.

        Raises:
            NotReady: if a worker has died, or the service is shutting down.
        """
        if self._refusal is not None:
            raise NotReady(self._refusal, retry_after_seconds=1.0)
        span = current_span()
        loop, now = asyncio.get_running_loop(), self._clock()
        entry_ids = range(self._next_id, self._next_id + len(texts))
        self._next_id = entry_ids.stop
        ticket = Ticket(
            lane=lane,
            future=loop.create_future(),
            on_progress=on_progress,
            rows=[None] * len(texts),
            entry_ids=entry_ids,
            remaining=len(texts),
            spans=None if span is None else RequestSpans(span, now),
        )
        for index, (entry_id, ids) in enumerate(zip(entry_ids, texts, strict=True)):
            payload = _Payload(ticket, index, ids)
            self._queue.add(Entry(entry_id, len(ids), lane, arrival=now, deadline=deadline, payload=payload))
        self._idle.clear()
        if not self._will_dispatch:
            # Dispatch on the loop's next iteration: requests that have already arrived are queued first and can join
            # the batch.
            self._will_dispatch = True
            loop.call_soon(self._dispatch)
        return ticket

    def abandon(self, ticket: Ticket) -> None:
        """Drop the queued texts of a request. Does nothing for a completed request."""
        dropped = self._drop(ticket)
        if dropped:
            self._observer.abandoned(ticket.lane, dropped)
        if ticket.future.done():
            if not ticket.future.cancelled():
                ticket.future.exception()  # mark the error as retrieved, or asyncio would log it
        else:
            ticket.future.cancel()
        self._note_idle()

    async def drain(self) -> None:
        """Refuse new requests, and return when all accepted requests are done."""
        self._refusal = self._refusal or "the embedder is shutting down"
        await self._idle.wait()

    async def close(self) -> bool:
        """Fail all unfinished requests and stop the threads; return False if a thread is still in the model."""
        self._refusal = self._refusal or "the embedder is shutting down"
        free = not self._in_model
        self._fail_everyone(self._refusal)
        self._threads.close(wait=free)
        return free

    def _dispatch(self) -> None:
        """Start all batches that may start."""
        self._will_dispatch = False
        try:
            for lane in LANES:
                while has_room(lane, self._running(), self._workers):
                    decision = self._queue.take(self._clock(), lane)
                    self._expire(decision.expired)
                    if decision.batch is None:
                        break
                    self._begin(decision.batch)
        except BaseException as error:  # any defect must stop the service, not vanish in a loop callback
            self._die(error)
        self._note_idle()

    def _running(self) -> Counter[Lane]:
        return Counter(run.batch.lane for run in self._in_model)

    def _begin(self, batch: Batch[_Payload]) -> None:
        started = self._clock()
        requests = [entry.payload.ticket.spans for entry in batch.entries if entry.payload.ticket.spans is not None]
        span = begin_batch(requests, batch, started) if requests else None
        run = _Run(batch, [started - entry.arrival for entry in batch.entries], span)
        self._in_model.add(run)
        self._threads.call([entry.payload.ids for entry in batch.entries], partial(self._finish, run))

    def _finish(self, run: _Run, outcome: _Outcome) -> None:
        if run not in self._in_model:  # its requests have already failed: a worker died or the service is stopping
            return
        try:
            error = outcome.error
            if error is not None and not isinstance(error, Exception):
                raise error
            if run.span is not None:
                run.span.end(error)
            self._settle(run, outcome)
            self._in_model.remove(run)
        except BaseException as death:  # a dead worker must stop the service, whatever the cause
            self._die(death)
        self._dispatch()

    def _settle(self, run: _Run, outcome: _Outcome) -> None:
        batch = run.batch
        if outcome.vectors is None:
            self._fail_batch(batch, outcome.error)
            return
        self._hand_out(batch, outcome.vectors, run.waits)
        self._rate.observe(batch.tokens, outcome.seconds)
        report = BatchReport(batch.lane, len(batch.entries), batch.tokens, batch.cost, outcome.seconds, run.waits)
        self._observer.batch(report)

    def _call_model(self, rows: list[Ids]) -> _Outcome:
        """Run the model on token ids. Called in a worker thread."""
        started = time.perf_counter()
        try:
            vectors = self._model.embed(rows)
            if len(vectors) != len(rows):
                raise ModelError(f"the model returned {len(vectors)} rows for {len(rows)} texts")
        except BaseException as error:  # passed to the loop as a value; see _Outcome
            return _Outcome(error=error)
        return _Outcome(vectors=vectors, seconds=time.perf_counter() - started)

    def _hand_out(self, batch: Batch[_Payload], vectors: Vectors, waits: Sequence[float]) -> None:
        for position, (entry, waited) in enumerate(zip(batch.entries, waits, strict=True)):
            ticket = entry.payload.ticket
            if ticket.future.done():
                continue  # abandoned while the model ran
            ticket.rows[entry.payload.index] = vectors[position : position + 1]
            ticket.queue_seconds = max(ticket.queue_seconds, waited)
            ticket.remaining -= 1
            ticket.on_progress(entry.tokens)
            if ticket.remaining == 0:
                if ticket.spans is not None:
                    ticket.spans.end()
                rows = [row for row in ticket.rows if row is not None]
                ticket.future.set_result(rows[0] if len(rows) == 1 else np.concatenate(rows))

    def _fail_batch(self, batch: Batch[_Payload], cause: BaseException | None) -> None:
        log.error("the model failed on a batch", extra={"rows": len(batch.entries)}, exc_info=cause)
        for entry in batch.entries:
            self._fail(entry.payload.ticket, ModelError("the model failed on this batch of texts"))

    def _expire(self, entries: Sequence[Entry[_Payload]]) -> None:
        for entry in entries:
            self._observer.expired(entry.lane, 1)
            self._fail(entry.payload.ticket, DeadlineExceeded("the deadline passed while the texts were queued"))

    def _fail(self, ticket: Ticket, error: EmbedderError) -> None:
        """Fail a request, and drop its queued texts."""
        self._drop(ticket)
        if ticket.spans is not None:
            ticket.spans.end(error)
        if not ticket.future.done():
            ticket.future.set_exception(error)

    def _drop(self, ticket: Ticket) -> int:
        if ticket.remaining == 0:
            return 0
        return sum(self._queue.discard(entry_id) is not None for entry_id in ticket.entry_ids)

    def _die(self, error: BaseException) -> None:
        reason = f"a worker died: {type(error).__name__}: {error}"
        log.critical("a worker died; the embedder stops serving", exc_info=error)
        self._refusal = reason
        self._fail_everyone(reason)
        self._note_idle()
        self._on_death(reason)

    def _fail_everyone(self, reason: str) -> None:
        waiting = [entry for run in self._in_model for entry in run.batch.entries]
        for entry in [*waiting, *self._queue.clear()]:
            self._fail(entry.payload.ticket, NotReady(reason, retry_after_seconds=1.0))
        self._in_model.clear()

    def _note_idle(self) -> None:
        if not self._in_model and not len(self._queue):
            self._idle.set()
