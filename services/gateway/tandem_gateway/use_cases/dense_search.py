"""Vector search: embeds queries, many per embedder call, and looks them up, many per batch of the index thread."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tandem_gateway.errors import DeadlineExceeded, FingerprintMismatch, GatewayError, Overloaded
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.search import Hits
from tandem_gateway.use_cases.coalescing import CoalescingLimits, InFlight, Waiting, decide
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.validation import RequestLimits, check_search
from tandem_gateway.use_cases.vector_cache import QueryVectorCache
from tandem_runtime import logs, trace
from tandem_runtime.trace import TraceContext

log = logging.getLogger(__name__)


class Searchable(Protocol):
    """Answers queries whose vectors are known; the index thread implements it."""

    def search(self, queries: Sequence[VectorQuery]) -> "asyncio.Future[list[Hits | GatewayError]]":
        """Return for each query its hits, or the error of that query alone."""
        ...

    def fingerprint(self, collection: str) -> str | None:
        """Return the fingerprint that a collection is pinned to; None if it has none or does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class DenseSearchEvents:
    """Callbacks for metrics."""

    called: Callable[[int], None] = lambda queries: None
    """The gateway calls the embedder with this many queries."""
    known: Callable[[], None] = lambda: None
    """The vector of a query was in the cache."""
    mismatched: Callable[[], None] = lambda: None
    """The vector of a query is of another model than the collection's."""


class DenseAnswer(msgspec.Struct, frozen=True):
    """The hits of a vector search, and how much of the query its vector represents."""

    hits: Hits
    coverage: Coverage = WHOLE


class _Query(msgspec.Struct, eq=False):
    command: SearchCommand
    answer: "asyncio.Future[DenseAnswer] | None"
    """None once the query has failed."""
    request_id: str | None
    trace: TraceContext | None


class DenseSearch:
    """Answers vector searches, and coalesces those that arrive together; one event loop owns it."""

    def __init__(
        self,
        embedder: Embedder,
        index: Searchable,
        *,
        request_limits: RequestLimits,
        coalescing: CoalescingLimits,
        max_queued: int,
        timeout: float,
        cached_vectors: int = 0,
        events: DenseSearchEvents | None = None,
    ) -> None:
        """Make the use case.

        Args:
            embedder: turns queries into vectors.
            index: finds the nearest documents.
            request_limits: limits of a request.
            coalescing: batch size of embedder calls, and their number per replica.
            max_queued: maximum number of waiting queries; above it ``search`` raises Overloaded.
            timeout: maximum seconds per search.
            cached_vectors: capacity of the cache of query vectors, in queries; 0 turns it off.
            events: see ``DenseSearchEvents``.
        """
        self._embedder = embedder
        self._index = index
        self._request_limits = request_limits
        self._coalescing = coalescing
        self._max_queued = max_queued
        self._timeout = timeout
        self._events = events or DenseSearchEvents()
        self._queue: deque[Waiting[_Query]] = deque()
        self._calls: dict[asyncio.Task[None], int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._vectors = QueryVectorCache(cached_vectors)
        self._known: list[tuple[_Query, VectorQuery, Coverage]] = []
        self._looking_up: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Number of queries that wait for an embedder call or for the index."""
        return len(self._queue) + len(self._known)

    async def search(self, command: SearchCommand, timeout: float | None = None) -> DenseAnswer:
        """Return the hits of a search, by descending cosine similarity.

        Args:
            command: the search; this method validates it.
            timeout: seconds that the caller will wait. The configured timeout applies if it is shorter.

        Raises:
            InvalidRequest, NotFound: the client must change the request.
            Overloaded, EmbedderError, FingerprintMismatch, StorageError: the search cannot be answered now.
            DeadlineExceeded: the search was not answered in time.
        """
        check_search(command, self._request_limits)
        if self.queued >= self._max_queued:
            raise Overloaded(
                f"{self.queued} searches wait already, the limit is {self._max_queued} (TANDEM_MAX_QUEUED_QUERIES)"
            )
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        answer: asyncio.Future[DenseAnswer] = asyncio.get_running_loop().create_future()
        query = _Query(command, answer, logs.request_id.get(), trace.current.get())
        now = time.monotonic()
        waiting = Waiting(query, now, now + seconds)
        if not self._look_up_if_known(query):
            self._queue.append(waiting)
            self._send_what_may_go()
        # A plain timer, not asyncio.timeout: that cancels the task from outside, which costs more than is needed here.
        deadline = asyncio.get_running_loop().call_later(seconds, _expire, query, seconds)
        try:
            return await answer
        except (DeadlineExceeded, asyncio.CancelledError):
            # A search that has given up must not keep its place in the queue.
            with contextlib.suppress(ValueError):
                self._queue.remove(waiting)
            raise
        finally:
            deadline.cancel()
            del answer  # breaks the reference cycle: error, traceback, this frame, error

    def needs_embedder(self, command: SearchCommand) -> bool:
        """Return whether the search needs an embedder call; false if the query's vector is in the cache."""
        fingerprint = self._index.fingerprint(command.collection)
        return fingerprint is None or (fingerprint, command.query) not in self._vectors

    async def drain(self) -> None:
        """Wait until all calls and lookups have ended."""
        while self._calls or self._looking_up is not None:
            await asyncio.wait([*self._calls, *([self._looking_up] if self._looking_up is not None else [])])

    def _look_up_if_known(self, query: _Query) -> bool:
        """Send a query straight to the index if its vector is in the cache, and return whether it is."""
        command = query.command
        fingerprint = self._index.fingerprint(command.collection)
        if fingerprint is None:
            return False
        found = self._vectors.get(fingerprint, command.query)
        if found is None:
            return False
        self._events.known()
        vector, coverage = found
        self._known.append((query, VectorQuery(command.collection, vector, fingerprint, command.top_k), coverage))
        if self._looking_up is None:
            # The task starts in the next iteration of the event loop, so queries that arrive in this one join it.
            self._looking_up = asyncio.get_running_loop().create_task(self._look_up())
        return True

    async def _look_up(self) -> None:
        try:
            while self._known:
                batch, self._known = self._known, []
                queries, vectors, coverages = zip(*batch, strict=True)
                await self._answer(queries, vectors, coverages)
        finally:
            self._looking_up = None

    def _send_what_may_go(self) -> None:
        while self._queue:
            in_flight = InFlight(len(self._calls), sum(self._calls.values()))
            decision = decide(self._queue, in_flight, time.monotonic(), self._coalescing, self._embedder.replicas)
            self._queue = deque(decision.rest)
            for waiting in decision.expired:
                _fail(waiting.query, DeadlineExceeded("the search waited for the embedder until its time was up"))
            if not decision.send:
                if decision.look_again is not None and self._timer is None:
                    delay = decision.look_again - time.monotonic()
                    self._timer = asyncio.get_running_loop().call_later(delay, self._retry_send)
                return
            task = asyncio.get_running_loop().create_task(self._call(decision.send))
            self._calls[task] = len(decision.send)
            task.add_done_callback(self._returned)

    def _retry_send(self) -> None:
        self._timer = None
        self._send_what_may_go()

    def _returned(self, task: asyncio.Task[None]) -> None:
        del self._calls[task]
        self._send_what_may_go()

    async def _call(self, batch: Sequence[Waiting[_Query]]) -> None:
        queries = [waiting.query for waiting in batch]
        # One call serves many requests. The embedder logs it under the id and the trace of the first one.
        logs.request_id.set(queries[0].request_id)
        trace.current.set(queries[0].trace)
        try:
            self._events.called(len(queries))
            texts = list(dict.fromkeys(query.command.query for query in queries))
            embedded = await self._embedder.embed(
                texts,
                kind="query",
                priority="interactive",
                timeout=max(waiting.deadline for waiting in batch) - time.monotonic(),
                fingerprint=self._wanted_by(queries),
            )
        except BaseException as error:  # every waiting query needs an outcome, whatever the error
            _fail_all(queries, error)
            return
        coverages = embedded.coverages or [WHOLE] * len(texts)
        found = dict(zip(texts, zip(embedded.vectors, coverages, strict=True), strict=True))
        for text, (vector, coverage) in found.items():
            self._vectors.put(embedded.fingerprint, text, vector, coverage)
        await self._answer(
            queries,
            [
                VectorQuery(
                    query.command.collection,
                    found[query.command.query][0],
                    embedded.fingerprint,
                    query.command.top_k,
                )
                for query in queries
            ],
            [found[query.command.query][1] for query in queries],
        )

    def _wanted_by(self, queries: Sequence[_Query]) -> str | None:
        """Return the fingerprint of the queries' collections; None if they differ in it or have none."""
        collections = {query.command.collection for query in queries}
        wanted = {self._index.fingerprint(collection) for collection in collections}
        return wanted.pop() if len(wanted) == 1 else None

    async def _answer(
        self, queries: Sequence[_Query], vectors: Sequence[VectorQuery], coverages: Sequence[Coverage]
    ) -> None:
        """Look up queries whose vectors are known, and set their outcomes."""
        try:
            answers = await self._index.search(vectors)
        except BaseException as error:  # as in ``_call``
            _fail_all(queries, error)
            return
        for query, answer, coverage in zip(queries, answers, coverages, strict=True):
            if isinstance(answer, GatewayError):
                if isinstance(answer, FingerprintMismatch):
                    self._events.mismatched()
                _fail(query, answer)
            elif query.answer is not None and not query.answer.done():
                query.answer.set_result(DenseAnswer(answer, coverage))


def _fail_all(queries: Sequence[_Query], error: BaseException) -> None:
    """Fail every query with the same error.

    Raises:
        BaseException: ``error`` itself if it must end the task, as CancelledError does.
    """
    if not isinstance(error, GatewayError):
        log.error("a batch of searches failed", exc_info=error)
    for query in queries:
        _fail(query, error)
    if not isinstance(error, Exception):
        raise error


def _expire(query: _Query, seconds: float) -> None:
    _fail(query, DeadlineExceeded(f"the search was not answered within {seconds:g} s"))


def _fail(query: _Query, error: BaseException) -> None:
    # The error's traceback refers to frames that refer to the query. If the query kept its future, and so the error,
    # they would form a reference cycle.
    answer, query.answer = query.answer, None
    if answer is None or answer.done():
        return
    answer.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
    # Marks the error as retrieved: if the waiter was cancelled, asyncio would log the error as never retrieved.
    answer.exception()
