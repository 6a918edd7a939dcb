"""Runs the decisions of ``batching``: takes a batch, gives it to the model off the loop, hands out the rows.

No artificial wait: a batch is whatever is queued when there is room for one. Every submitted request ends in one of
these ways, and nobody hangs: its vectors; its deadline; the model's error on its batch (other batches go on); the death
of a worker (all fail, nothing is accepted any more, and ``on_death`` is told); the end of the service.
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
from tandem_embedder.batching.worker_threads import WorkerThreads
from tandem_embedder.errors import DeadlineExceeded, EmbedderError, ModelError, NotReady
from tandem_embedder.ports import BatchReport, Ids, Model, Observer, Vectors

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
    """The longest that a text of it waited for the model."""


class _Payload(msgspec.Struct, frozen=True):
    """What an entry of the queue carries: whose text it is, which of its texts, and the text as ids."""

    ticket: Ticket
    index: int
    ids: Ids


class _Run(msgspec.Struct, frozen=True, eq=False):
    """A batch that the model has, and how long each of its texts had waited for that, in seconds."""

    batch: Batch[_Payload]
    waits: list[float]


@dataclass(slots=True)
class _Outcome:
    """What a run of the model came to; an error is a value here, so that no kind of it is lost between threads."""

    vectors: Vectors | None = None
    error: BaseException | None = None
    seconds: float = 0.0


class Scheduler:
    """Owns the queue and the worker threads; all methods are for the event loop's thread.

    Args:
        model: is called from the worker threads.
        limits: of a batch.
        observer: is told of every batch and every dropped text.
        rate: is told how fast the model is.
        on_death: called once, with the reason, when a worker has died.
        workers: batches of one lane that run at the same time; see ``lanes`` for both.
        clock: monotonic seconds; deadlines are on it.
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
        """Accept requests from now on."""
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
            lane: whose turn they wait for.
            texts: token ids of each, at least one text.
            deadline: when to drop what still waits.
            on_progress: is told the tokens of texts that the model is done with.

        Raises:
            NotReady: if a worker has died, or the service is ending.
        """
        if self._refusal is not None:
            raise NotReady(self._refusal, retry_after_seconds=1.0)
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
        )
        for index, (entry_id, ids) in enumerate(zip(entry_ids, texts, strict=True)):
            payload = _Payload(ticket, index, ids)
            self._queue.add(Entry(entry_id, len(ids), lane, arrival=now, deadline=deadline, payload=payload))
        self._idle.clear()
        if not self._will_dispatch:
            # Not at once: what else has arrived by now is queued first, and goes with it.
            self._will_dispatch = True
            loop.call_soon(self._dispatch)
        return ticket

    def abandon(self, ticket: Ticket) -> None:
        """Forget a request: drop what is queued of it. Does nothing for one that is done."""
        dropped = self._drop(ticket)
        if dropped:
            self._observer.abandoned(ticket.lane, dropped)
        if ticket.future.done():
            if not ticket.future.cancelled():
                ticket.future.exception()  # nobody is left to be told
        else:
            ticket.future.cancel()
        self._note_idle()

    async def drain(self) -> None:
        """Accept nothing more, and return when all that was accepted is done."""
        self._refusal = self._refusal or "the embedder is shutting down"
        await self._idle.wait()

    async def close(self) -> bool:
        """Fail whoever still waits and end the threads; return whether every one was free to end."""
        self._refusal = self._refusal or "the embedder is shutting down"
        free = not self._in_model
        self._fail_everyone(self._refusal)
        self._threads.close(wait=free)
        return free

    def _dispatch(self) -> None:
        """Give the model what may start."""
        self._will_dispatch = False
        try:
            for lane in LANES:
                while has_room(lane, self._running(), self._workers):
                    decision = self._queue.take(self._clock(), lane)
                    self._expire(decision.expired)
                    if decision.batch is None:
                        break
                    self._begin(decision.batch)
        except BaseException as error:  # a defect must be noticed, whatever it is
            self._die(error)
        self._note_idle()

    def _running(self) -> Counter[Lane]:
        return Counter(run.batch.lane for run in self._in_model)

    def _begin(self, batch: Batch[_Payload]) -> None:
        started = self._clock()
        run = _Run(batch, [started - entry.arrival for entry in batch.entries])
        self._in_model.add(run)
        self._threads.call([entry.payload.ids for entry in batch.entries], partial(self._finish, run))

    def _finish(self, run: _Run, outcome: _Outcome) -> None:
        if run not in self._in_model:  # its waiters were told that a worker died, or that the service ends
            return
        try:
            error = outcome.error
            if error is not None and not isinstance(error, Exception):
                raise error
            self._settle(run, outcome)
            self._in_model.remove(run)
        except BaseException as death:  # a dead worker must be noticed, whatever it died of
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
        """Run in a worker thread."""
        started = time.perf_counter()
        try:
            vectors = self._model.embed(rows)
            if len(vectors) != len(rows):
                raise ModelError(f"the model returned {len(vectors)} rows for {len(rows)} texts")
        except BaseException as error:  # given to the loop as a value; see _Outcome
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
        """Tell a waiter, and drop what else is queued of its request."""
        self._drop(ticket)
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
