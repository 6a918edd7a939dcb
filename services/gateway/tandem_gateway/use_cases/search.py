"""Search: queries to vectors, many in one call; vectors to hits, many in one hop to the index."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from tandem_contract.client_api import SearchRequest
from tandem_contract.service import logs
from tandem_gateway.errors import DeadlineExceeded, FingerprintMismatch, GatewayError, Overloaded
from tandem_gateway.index.thread import VectorQuery
from tandem_gateway.model import Hit
from tandem_gateway.ports import Embedder
from tandem_gateway.use_cases.coalescing import CoalescingLimits, Waiting, decide
from tandem_gateway.use_cases.validation import RequestLimits, check_search

log = logging.getLogger(__name__)


class Searchable(Protocol):
    """What answers queries whose vectors are known: the index's thread."""

    def search(self, queries: Sequence[VectorQuery]) -> Future[list[list[Hit] | GatewayError]]:
        """Return for each query its hits, or the error that concerns it alone."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Query:
    request: SearchRequest
    answer: "asyncio.Future[list[Hit]]"
    request_id: str | None


class Search:
    """Answers searches; coalesces those that arrive together."""

    def __init__(
        self,
        embedder: Embedder,
        index: Searchable,
        *,
        request_limits: RequestLimits,
        coalescing: CoalescingLimits,
        max_queued: int,
        timeout: float,
        on_call: Callable[[int], None] = lambda queries: None,
        on_mismatch: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the use case.

        Args:
            embedder: turns queries into vectors.
            index: finds the nearest documents.
            request_limits: what a request may hold.
            coalescing: queries in one embedder call, and calls at a time.
            max_queued: queries that may wait; over it ``search`` raises Overloaded.
            timeout: seconds that a search may take.
            on_call: called with the number of queries of each embedder call.
            on_mismatch: called for each query whose vector is not of the collection's model.
        """
        self._embedder = embedder
        self._index = index
        self._request_limits = request_limits
        self._coalescing = coalescing
        self._max_queued = max_queued
        self._timeout = timeout
        self._on_call = on_call
        self._on_mismatch = on_mismatch
        self._queue: deque[Waiting[_Query]] = deque()
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def queued(self) -> int:
        """Queries that wait for a call."""
        return len(self._queue)

    async def search(self, request: SearchRequest, timeout: float | None = None) -> list[Hit]:
        """Return the hits of a search, by descending cosine similarity.

        Args:
            request: is checked here.
            timeout: seconds that the caller will wait; the setting, if that is less.

        Raises:
            InvalidRequest, NotFound: the request has to be changed.
            Overloaded, EmbedderError, FingerprintMismatch, StorageError: it cannot be answered now.
            DeadlineExceeded: it was not answered in time.
        """
        check_search(request, self._request_limits)
        if len(self._queue) >= self._max_queued:
            raise Overloaded(
                f"{len(self._queue)} searches wait already, the limit is {self._max_queued} (TANDEM_MAX_QUEUED_QUERIES)"
            )
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        answer: asyncio.Future[list[Hit]] = asyncio.get_running_loop().create_future()
        waiting = Waiting(_Query(request, answer, logs.request_id.get()), time.monotonic() + seconds)
        self._queue.append(waiting)
        self._send_what_may_go()
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except (TimeoutError, asyncio.CancelledError) as gone:
            # Whoever gave up must not keep a place in the queue.
            with contextlib.suppress(ValueError):
                self._queue.remove(waiting)
            if isinstance(gone, asyncio.CancelledError):
                raise
            raise DeadlineExceeded(f"the search was not answered within {seconds:g} s") from None

    async def drain(self) -> None:
        """Wait until no call is in flight."""
        while self._calls:
            await asyncio.wait(self._calls)

    def _send_what_may_go(self) -> None:
        while self._queue:
            decision = decide(self._queue, len(self._calls), time.monotonic(), self._coalescing)
            self._queue = deque(decision.rest)
            for waiting in decision.expired:
                _fail(waiting.query, DeadlineExceeded("the search waited for the embedder until its time was up"))
            if not decision.send:
                return
            task = asyncio.get_running_loop().create_task(self._call(decision.send))
            self._calls.add(task)
            task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._send_what_may_go()

    async def _call(self, batch: Sequence[Waiting[_Query]]) -> None:
        queries = [waiting.query for waiting in batch]
        # One call serves many requests; the embedder's log shows it under the id of the first.
        logs.request_id.set(queries[0].request_id)
        try:
            self._on_call(len(queries))
            texts = list(dict.fromkeys(query.request.query for query in queries))
            embedded = await self._embedder.embed(
                texts,
                kind="query",
                priority="interactive",
                timeout=max(waiting.deadline for waiting in batch) - time.monotonic(),
            )
            place = {text: number for number, text in enumerate(texts)}
            answers = await asyncio.wrap_future(
                self._index.search(
                    [
                        VectorQuery(
                            query.request.collection,
                            embedded.vectors[place[query.request.query]],
                            embedded.fingerprint,
                            query.request.top_k,
                        )
                        for query in queries
                    ]
                )
            )
            for query, answer in zip(queries, answers, strict=True):
                if isinstance(answer, GatewayError):
                    if isinstance(answer, FingerprintMismatch):
                        self._on_mismatch()
                    _fail(query, answer)
                elif not query.answer.done():
                    query.answer.set_result(answer)
        except BaseException as error:  # nobody may be left waiting, whatever happened
            if not isinstance(error, GatewayError):
                log.exception("a batch of searches failed")
            for query in queries:
                _fail(query, error)
            if not isinstance(error, Exception):
                raise


def _fail(query: _Query, error: BaseException) -> None:
    if query.answer.done():
        return
    query.answer.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
    # Its waiter may be gone already; then nobody will ask for the error.
    query.answer.exception()
