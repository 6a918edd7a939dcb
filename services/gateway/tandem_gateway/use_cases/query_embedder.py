"""Turns queries into vectors: many queries share one embedder call, and a repeated query needs none.

``embed`` is for callers that want vectors. A search goes on with its vector, and the searches of one call should go on
together. It therefore submits a ``Query`` of its own with a ``deliver`` function, which gets the queries of each call
as one batch. The call counts as in flight until ``deliver`` returns.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tandem_gateway.errors import DeadlineExceeded, Overloaded
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.records.explanation import Stages
from tandem_gateway.use_cases import caller
from tandem_gateway.use_cases.call_spans import begin_call
from tandem_gateway.use_cases.coalescing import CoalescingLimits, InFlight, decide
from tandem_gateway.use_cases.fair_turns import Turns, Waiting, pushed_out
from tandem_gateway.use_cases.vector_cache import QueryVectorCache
from tandem_gateway.use_cases.waiting_query import Query, by_model, by_receiver, fail, fail_all
from tandem_runtime import logs, trace


@dataclass(frozen=True, slots=True)
class QueryEmbedderEvents:
    """Callbacks for metrics."""

    called: Callable[[int], None] = lambda queries: None
    """The gateway calls the embedder with this many queries."""
    known: Callable[[], None] = lambda: None
    """The vector of a query was in the cache."""


class QueryEmbedder:
    """Embeds queries, and coalesces those that arrive together; one event loop owns it."""

    def __init__(
        self,
        embedder: Embedder,
        *,
        coalescing: CoalescingLimits,
        max_queued: int,
        cached_vectors: int = 0,
        events: QueryEmbedderEvents | None = None,
    ) -> None:
        """Make it without queries.

        Args:
            embedder: turns queries into vectors.
            coalescing: batch size of embedder calls, and their number per replica.
            max_queued: maximum number of waiting queries; see ``check_room``.
            cached_vectors: capacity of the cache of query vectors, in queries; 0 turns it off.
            events: see ``QueryEmbedderEvents``.
        """
        self._embedder = embedder
        self._coalescing = coalescing
        self._max_queued = max_queued
        self._events = events or QueryEmbedderEvents()
        self._vectors = QueryVectorCache(cached_vectors)
        self._queue: deque[Waiting[Query]] = deque()
        self._held = 0
        self._calls: dict[asyncio.Task[None], Sequence[Waiting[Query]]] = {}
        self._turns = Turns()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        """Number of queries that wait for an embedder call."""
        return len(self._queue)

    async def embed(self, texts: Sequence[str], *, timeout: float, fingerprint: str | None = None) -> list[QueryVector]:
        """Return one vector per text, in order.

        Args:
            texts: at least one.
            timeout: deadline, in seconds.
            fingerprint: preferred model, if the caller knows one; the cache is asked for vectors of this model only.
                Only a hint: check each ``QueryVector.fingerprint``. The texts may go out in several calls, so that two
                vectors may differ in it while embedders are updated.

        Raises:
            Overloaded: too many queries wait, or the embedder's queue is full.
            EmbedderError: see ``Embedder.embed``.
            DeadlineExceeded: not every vector came within ``timeout``.
        """
        found: dict[str, QueryVector] = {}
        missing: list[str] = []
        for text in dict.fromkeys(texts):
            known = self.cached(fingerprint, text)
            if known is None:
                missing.append(text)
            else:
                found[text] = known
        if missing:
            self.check_room(wanted=len(missing))
            await self._embed_missing(missing, found, timeout, fingerprint)
        return [found[text] for text in texts]

    def cached(self, fingerprint: str | None, text: str) -> QueryVector | None:
        """Return the cached vector of a query by this model; None if there is none or no model is given."""
        if fingerprint is None:
            return None
        found = self._vectors.get(fingerprint, text)
        if found is not None:
            self._events.known()
        return found

    def has(self, fingerprint: str | None, text: str) -> bool:
        """Return whether ``cached`` would return a vector; changes nothing."""
        return fingerprint is not None and (fingerprint, text) in self._vectors

    def check_room(self, *, others: int = 0, wanted: int = 1) -> None:
        """Check that more queries may wait.

        Args:
            others: queries of the caller that wait elsewhere and count as well.
            wanted: number of queries to add.

        Raises:
            Overloaded: more queries than ``max_queued`` would wait. If several callers are active, this one has its
                share of the places; otherwise the newest queries of a caller with more than its share get the error.
        """
        waiting = len(self._queue) + others
        if waiting + wanted > self._max_queued and not self._make_room(wanted, waiting + wanted - self._max_queued):
            raise Overloaded(
                f"{waiting} searches wait already, the limit is {self._max_queued} (TANDEM_MAX_QUEUED_QUERIES)"
            )

    def submit(self, query: Query, seconds: float) -> Waiting[Query]:
        """Queue a query for the next call, at most for this many seconds.

        The query's future gets an error, or ``deliver`` gets the query's vector. The caller limits its own wait, and
        withdraws the query if it gives up.
        """
        now = time.monotonic()
        who = query.caller.id if query.caller is not None else None
        waiting = Waiting(query, now, now + seconds, who, self._turns.next(who, now))
        self._queue.append(waiting)
        if not self._held:
            self._send_what_may_go()
        return waiting

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Send the queries that are submitted while the block runs together; keep the block short."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._send_what_may_go()

    def withdraw(self, waiting: Waiting[Query]) -> None:
        """Remove a query from the queue, if it is still there: a caller that has given up must not keep its place."""
        with contextlib.suppress(ValueError):
            self._queue.remove(waiting)

    async def drain(self) -> None:
        """Wait until all calls have ended."""
        while self._calls:
            await asyncio.wait([*self._calls])

    async def _embed_missing(
        self, texts: Sequence[str], found: dict[str, QueryVector], timeout: float, fingerprint: str | None
    ) -> None:
        """Add the vector of each text to ``found``; the texts are distinct and not in it."""
        complete = len(found) + len(texts)

        async def deliver(queries: Sequence[Query], vectors: Sequence[QueryVector]) -> None:
            found.update(zip((query.text for query in queries), vectors, strict=True))
            answer = queries[0].answer
            if len(found) == complete and answer is not None and not answer.done():
                answer.set_result(None)

        # One future for all texts: the first error is the outcome.
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        about = (fingerprint, deliver, logs.request_id.get(), trace.current.get(), Stages.begin(), caller.current.get())
        queries = [Query(answer, text, *about) for text in texts]
        now = time.monotonic()
        who = _current_id()
        places = [Waiting(query, now, now + timeout, who, self._turns.next(who, now)) for query in queries]
        self._queue.extend(places)
        self._send_what_may_go()
        try:
            async with asyncio.timeout(timeout):
                await answer
        except TimeoutError:
            raise DeadlineExceeded("the texts were not embedded in time") from None
        finally:
            for place in places:
                place.query.answer = None
                self.withdraw(place)
            del answer  # breaks the reference cycle: error, traceback, this frame, error

    def _send_what_may_go(self) -> None:
        while self._queue:
            in_flight = InFlight(len(self._calls), sum(map(len, self._calls.values())))
            now = time.monotonic()
            busy = self._busy() if self._turns.active(now) > 1 else None
            decision = decide(self._queue, in_flight, now, self._coalescing, self._embedder.replicas, busy)
            self._queue = deque(decision.rest)
            for waiting in decision.expired:
                late = DeadlineExceeded("the search waited for the embedder until its time was up")
                if waiting.query.stages is not None:
                    waiting.query.stages.failed("queue", waiting.arrival, now, late)
                fail(waiting.query, late)
            if not decision.send:
                if decision.look_again is not None and self._timer is None:
                    delay = decision.look_again - time.monotonic()
                    self._timer = asyncio.get_running_loop().call_later(delay, self._retry_send)
                return
            task = asyncio.get_running_loop().create_task(self._call(decision.send))
            self._calls[task] = decision.send
            self._turns.sent(decision.send)
            task.add_done_callback(self._returned)

    def _busy(self) -> Counter[str | None]:
        """Return the number of calls in flight with queries of each caller."""
        return Counter(who for batch in self._calls.values() for who in {waiting.caller for waiting in batch})

    def _make_room(self, wanted: int, excess: int) -> bool:
        """Make room for queries of the current caller, if another has more than its share; return whether it did."""
        active = self._turns.active(time.monotonic())
        who = _current_id()
        share = self._max_queued // max(2, active)
        out = pushed_out(self._queue, who, wanted, excess, share) if self._queue else []
        for waiting in out:
            self._queue.remove(waiting)
            fail(
                waiting.query,
                Overloaded(
                    f"{self._max_queued} searches wait, the limit (TANDEM_MAX_QUEUED_QUERIES), and your key has "
                    f"more than its share of {share} while others wait"
                ),
            )
        return bool(out)

    def _retry_send(self) -> None:
        self._timer = None
        self._send_what_may_go()

    def _returned(self, task: asyncio.Task[None]) -> None:
        del self._calls[task]
        self._send_what_may_go()

    async def _call(self, batch: Sequence[Waiting[Query]]) -> None:
        groups = by_model(batch)
        await asyncio.gather(*(self._call_for(fingerprint, group) for fingerprint, group in groups.items()))

    async def _call_for(self, fingerprint: str | None, batch: Sequence[Waiting[Query]]) -> None:
        """Embed queries that prefer the same model, and deliver their vectors."""
        queries = [waiting.query for waiting in batch]
        # One call serves many requests. The embedder logs it under the id and the trace of the first one.
        logs.request_id.set(queries[0].request_id)
        trace.current.set(queries[0].trace)
        started = time.monotonic()
        spans = begin_call(batch, started)
        try:
            self._events.called(len(queries))
            texts = list(dict.fromkeys(query.text for query in queries))
            embedded = await self._embedder.embed(
                texts,
                kind="query",
                priority="interactive",
                timeout=max(waiting.deadline for waiting in batch) - time.monotonic(),
                fingerprint=fingerprint,
            )
            spans.end()
            found = dict(zip(texts, embedded.query_vectors(), strict=True))
            for text, vector in found.items():
                self._vectors.put(text, vector)
            for deliver, group in by_receiver(queries).items():
                await deliver(group, [found[query.text] for query in group])
        except BaseException as error:  # every waiting query needs an outcome, whatever the error
            spans.end(error)
            fail_all(queries, error)


def _current_id() -> str | None:
    """Return the id of the caller for whom the current task works; None if it is not known."""
    found = caller.current.get()
    return None if found is None else found.id
