"""The use case with ``chunking``: turn texts into passages, and passages into vectors.

A request may have more tokens than the queue's bound, so its passages go to the model in parts. The next part is split
and tokenised while the model computes the parts before it. At most a wave of tokens is in flight. The request's grant
holds as many from its admission to its last part, so that the queue has room for each part.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from tandem_contract.embed import MAX_PASSAGES, Chunking, EmbedRequest, Passage
from tandem_embedder.batching.admission import CHARS_PER_TOKEN, Admission, Grant, wave_tokens
from tandem_embedder.batching.scheduler import Scheduler, Ticket
from tandem_embedder.batching.tokenize_stage import LaneTokenizer
from tandem_embedder.embedded import Embedded, ModelFacts, unknown_share
from tandem_embedder.errors import LimitExceeded
from tandem_embedder.passages.shape import PassageShape, shape_of
from tandem_embedder.passages.slices import PassageRow, PassageSlices, Slice
from tandem_embedder.ports import Splitter, Tokenizer, Vectors
from tandem_runtime import trace

PARTS_OF_WAVE: Final = 4
"""Number of parts in flight, so that the model does not wait between two."""

HoldRows = Callable[[int], None]
"""Holds memory for this number of rows of the reply, more or fewer than before. Raises if there is too little."""


class PassageRequest(msgspec.Struct, frozen=True):
    """A request with its shape, and estimates of its size for the admission."""

    request: EmbedRequest
    shape: PassageShape
    max_tokens: int
    """Maximum length of a passage, with prompt and special tokens."""
    wave: int
    """Maximum number of tokens in flight."""
    tokens: int
    rows: int


class EmbedPassages:
    """Embeds the passages of texts. The event loop's thread owns this object and its collaborators.

    Args:
        model: facts of the served model.
        admission: bounds the queued work.
        tokenizer: tokenizer of the model; splitting runs in its threads.
        splitter: splits texts.
        scheduler: scheduler of the model.
        clock: monotonic clock in seconds; must be the scheduler's.
    """

    def __init__(
        self,
        model: ModelFacts,
        admission: Admission,
        tokenizer: LaneTokenizer,
        splitter: Splitter,
        scheduler: Scheduler,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._admission = admission
        self._tokenizer = tokenizer
        self._splitter = splitter
        self._scheduler = scheduler
        self._clock = clock

    def prepare(self, request: EmbedRequest, chunking: Chunking) -> PassageRequest:
        """Check ``chunking`` and estimate the request's size.

        Raises:
            InvalidChunking: if the texts cannot be split like this.
        """
        overhead = self._model.overhead[request.kind]
        shape = shape_of(chunking, self._model.max_seq_length, overhead)
        wave = wave_tokens(self._admission.bound(request.priority))
        step = shape.capacity - shape.overlap
        lengths = [len(text) // CHARS_PER_TOKEN for text in request.texts]
        rows = sum(1 + length // step for length in lengths)
        tokens = min(wave, sum(lengths) + rows * overhead)
        return PassageRequest(request, shape, shape.capacity + overhead, wave, tokens, min(rows, MAX_PASSAGES))

    async def __call__(self, work: PassageRequest, grant: Grant, deadline: float, hold_rows: HoldRows) -> Embedded:
        """Return the vectors of all passages.

        Args:
            work: the prepared request.
            grant: of at least ``work.tokens`` tokens and all characters.
            deadline: on the scheduler's clock.
            hold_rows: called with the expected number of rows, and again for each one more.

        Raises:
            EmbedderError: if the request cannot be served.
        """
        hold_rows(work.rows)
        request = work.request
        source = _Source(work, self._model, self._tokenizer, self._splitter, self._clock)
        flight = _Flight(self._admission, grant, work.tokens)
        tickets: deque[Ticket] = deque()
        waiting: deque[PassageRow] = deque()
        reply = _Rows(self._model.overhead[request.kind], work.rows, hold_rows)
        try:
            while part := await self._next_part(source, grant, work, reply, waiting):
                tokens = sum(len(row.tokenized.ids) for row in part)
                while tickets and flight.tokens + tokens > work.wave:
                    await reply.collect(tickets)
                flight.submitted(tokens)
                ids = [row.tokenized.ids for row in part]
                tickets.append(self._scheduler.submit(request.priority, ids, deadline, flight.computed))
            flight.ended()
            while tickets:
                await reply.collect(tickets)
        finally:
            for ticket in tickets:
                self._scheduler.abandon(ticket)
            # An error's traceback refers to this frame. If the frame referred to the error through a ticket, only the
            # garbage collector would free both, with the request's texts.
            ticket = None  # type: ignore[assignment]
            tickets.clear()
        return reply.embedded(len(request.texts), source.seconds)

    async def _next_part(
        self, source: "_Source", grant: Grant, work: PassageRequest, reply: "_Rows", waiting: deque[PassageRow]
    ) -> Sequence[PassageRow]:
        """Return the next passages, about a quarter of a wave; empty after the last.

        ``waiting`` keeps the passages of the last slice that did not fit.
        """
        most = work.wave // PARTS_OF_WAVE
        part: list[PassageRow] = []
        tokens = 0
        while True:
            while waiting and (not part or tokens + len(waiting[0].tokenized.ids) <= most):
                part.append(waiting.popleft())
                tokens += len(part[-1].tokenized.ids)
            if waiting or tokens >= most or (found := await source.next_slice()) is None:
                return part
            self._admission.read(grant, found.chars)
            if not work.request.truncate:
                _check_lengths(found.rows, self._model.max_seq_length)
            reply.add(found.rows)
            waiting.extend(found.rows)


class _Source:
    """The slices of one request, which a tokenizer thread computes one at a time."""

    def __init__(
        self,
        work: PassageRequest,
        model: ModelFacts,
        tokenizer: LaneTokenizer,
        splitter: Splitter,
        clock: Callable[[], float],
    ) -> None:
        request = work.request
        self._passages = PassageSlices(
            request.texts,
            model.prompts[request.kind],
            work.shape,
            max_tokens=work.max_tokens,
            splitter=splitter,
        )
        self._slices: Iterator[Slice] | None = None
        self._lane = request.priority
        self._tokenizer = tokenizer
        self._clock = clock
        self.seconds = 0.0
        """Time of all slices, including the wait for the thread."""

    async def next_slice(self) -> Slice | None:
        """Return the next slice; None after the last. Cancellation takes effect between slices."""
        started = self._clock()
        found = await self._tokenizer.run(self._lane, self._step)
        ended = self._clock()
        self.seconds += ended - started
        trace.record("tokenize", started, ended)
        return found

    def _step(self, tokenizer: Tokenizer) -> Slice | None:
        if self._slices is None:
            self._slices = self._passages.run(tokenizer)
        return next(self._slices, None)


class _Flight:
    """The tokens of one request that are in flight, and its grant."""

    def __init__(self, admission: Admission, grant: Grant, reserved: int) -> None:
        self._admission = admission
        self._grant = grant
        self._reserved = reserved
        self.tokens = 0

    def submitted(self, tokens: int) -> None:
        self.tokens += tokens
        self._admission.hold(self._grant, max(self.tokens, self._reserved))

    def computed(self, tokens: int) -> None:
        self.submitted(-tokens)

    def ended(self) -> None:
        """Keep nothing for later parts."""
        self._reserved = 0
        self.submitted(0)


class _Rows:
    """The rows of the reply so far."""

    def __init__(self, overhead: int, held: int, hold_rows: HoldRows) -> None:
        self._overhead = overhead
        self._held = held
        self._hold_rows = hold_rows
        self._passages: list[Passage] = []
        self._truncated: list[bool] = []
        self._unknown: list[float] = []
        self._vectors: list[Vectors] = []
        self._queue_seconds = 0.0

    def add(self, rows: Sequence[PassageRow]) -> None:
        """Add passages, whose vectors follow.

        Raises:
            LimitExceeded: if the request has too many.
            OverBudget: if too little memory is left.
        """
        count = len(self._passages) + len(rows)
        if count > MAX_PASSAGES:
            raise LimitExceeded(
                f"texts: have more than {MAX_PASSAGES} passages, which is the limit of one request; send fewer texts "
                "or a larger chunking.max_tokens",
                param="texts",
            )
        if count > self._held:
            self._held = count
            self._hold_rows(count)
        for row in rows:
            self._passages.append(row.passage)
            self._truncated.append(row.tokenized.truncated)
            self._unknown.append(unknown_share(row.tokenized, self._overhead))

    async def collect(self, tickets: deque[Ticket]) -> None:
        """Wait for the oldest ticket's vectors, and remove it."""
        self._vectors.append(await tickets[0].future)
        self._queue_seconds = max(self._queue_seconds, tickets.popleft().queue_seconds)

    def embedded(self, texts: int, tokenize_seconds: float) -> Embedded:
        return Embedded(
            vectors=np.concatenate(self._vectors),
            tokens=[passage.tokens for passage in self._passages],
            truncated=self._truncated,
            unknown=self._unknown,
            tokenize_seconds=tokenize_seconds,
            queue_seconds=self._queue_seconds,
            passages=self._passages,
            texts=texts,
        )


def _check_lengths(rows: Sequence[PassageRow], max_seq_length: int) -> None:
    for row in rows:
        if row.tokenized.truncated:
            param = f"texts[{row.passage.text}]"
            raise LimitExceeded(
                f"{param}: characters {row.passage.start} to {row.passage.end} cannot be split, and have more than the "
                f"model's {max_seq_length} tokens, and truncate is false",
                param=param,
            )
