"""The one thread that owns the keyword index: it answers searches and, between them, follows the store.

The hop to the thread and back takes longer than a search of a few thousand postings in memory. While the thread is
idle, the event loop therefore runs such a search itself, under a lock.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeVar

from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.lexical.positions import Record
from tandem_gateway.adapters.sqlite.log_truncation import Outcome
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import DeadlineExceeded, GatewayError, NotReady, Overloaded, TooManyBytes, for_log
from tandem_gateway.ports import position
from tandem_gateway.ports.text_log import TextFeed
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.search import Hit, KeywordCandidates

# After this long without a task, the thread checks for due work, such as a merge.
_IDLE_SECONDS = 60.0

log = logging.getLogger(__name__)

R = TypeVar("R")


class LexicalThread:
    """Implements ``LexicalIndex``; see the module."""

    def __init__(
        self,
        data_dir: Path,
        open_feed: Callable[[], TextFeed],
        *,
        max_queued: int,
        limits: AnswerLimits,
        in_loop: bool = True,
        on_search: Callable[[float], None] = lambda seconds: None,
        on_truncation: Callable[[Outcome], None] = lambda outcome: None,
        record: Record | None = None,
    ) -> None:
        """Make the thread; ``start`` starts it.

        Args:
            data_dir: the data directory.
            open_feed: opens the store for reading; called in the thread, which owns the feed.
            max_queued: maximum number of waiting searches; over it, ``search`` raises Overloaded.
            limits: see ``AnswerLimits``.
            in_loop: whether the event loop may run short searches that ask the store; false if ``version`` of the feed
                may take long.
            on_search: called with the seconds of each search, in the thread or the event loop.
            on_truncation: called in the thread with the outcome of each attempt to take removed content out of the log.
            record: called in the thread with positions of the index; see ``FollowerPositions``.
        """
        self._data_dir = data_dir
        self._open_feed = open_feed
        self._max_queued = max_queued
        self._limits = limits
        self._in_loop = in_loop
        self._on_search = on_search
        self._on_truncation = on_truncation
        self._record = record
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._poked = threading.Event()
        self._closed = False
        self._queued = 0
        self._follower: LexicalFollower | None = None
        # Guards the follower. The event loop only tries the lock and never waits for it.
        self._touching = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="lexical", daemon=True)

    def start(self) -> Future[list[str]]:
        """Start the thread; it begins to follow the store.

        Returns:
            A future of the repairs, for the log, set when the file is open. It fails if the store cannot be read.
        """
        opened: Future[list[str]] = Future()

        def run() -> None:
            try:
                self._follower = follower = LexicalFollower(
                    self._data_dir, self._open_feed(), on_truncation=self._on_truncation, record=self._record
                )
                opened.set_result(follower.notices)
            except BaseException as error:  # of any kind: otherwise the caller would wait for ever
                opened.set_exception(error)

        self._thread.start()
        self._tasks.put(run)
        opened.add_done_callback(lambda done: None if done.exception() else self.notify())
        return opened

    @property
    def bytes(self) -> int:
        """See ``LexicalIndex.bytes``."""
        follower = self._follower
        return 0 if follower is None else follower.bytes

    def bytes_of(self, collection_id: int) -> int:
        """See ``LexicalIndex.bytes_of``."""
        follower = self._follower
        return 0 if follower is None else follower.bytes_of(collection_id)

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        """Return the documents that match the query's words; see ``LexicalIndex.search``."""
        at_least = position.required.get()

        def hits(follower: LexicalFollower, deadline: float) -> list[Hit]:
            try:
                found = follower.search(collection, query, top_k, deadline, self._limits.bytes, at_least)
            except TooManyBytes:
                raise self._limits.too_large(top_k) from None
            return self._limits.held(found, top_k)

        return await self._ask(hits, timeout)

    async def retrieve(
        self, collection: str, query: str, count: int, *, timeout: float, among: Keys | None = None
    ) -> KeywordCandidates:
        """Return the passages that match the query's words; see ``LexicalIndex.retrieve``."""
        at_least = position.required.get()
        found = self._retrieve_at_once(collection, query, count, among, at_least)
        if found is not None:
            return found
        return await self._ask(
            lambda follower, deadline: follower.retrieve(collection, query, count, deadline, among, at_least), timeout
        )

    async def allowed(self, collection: str, query: str, *, timeout: float) -> Keys:
        """Return the passages that the query does not leave out; see ``LexicalIndex.allowed``."""
        at_least = position.required.get()
        return await self._ask(
            lambda follower, deadline: follower.allowed(collection, query, deadline, at_least), timeout
        )

    def _retrieve_at_once(
        self, collection: str, query: str, count: int, among: Keys | None, at_least: int | None
    ) -> KeywordCandidates | None:
        """Search in the event loop, if the thread is idle and the search is short and needs no file."""
        if self._closed or self._follower is None or not self._tasks.empty():
            return None
        if not self._in_loop and at_least is None:
            return None
        if not self._touching.acquire(blocking=False):
            return None
        started = time.monotonic()
        try:
            found = self._follower.retrieve_in_memory(collection, query, count, among, at_least)
        except Exception:
            return None  # the thread meets the same error and reports it
        finally:
            self._touching.release()
        if found is not None:
            self._on_search(time.monotonic() - started)
        return found

    async def _ask(self, search: Callable[[LexicalFollower, float], R], timeout: float) -> R:
        """Run a search in the thread; it gets its deadline, in seconds of the monotonic clock."""
        if self._closed:
            raise NotReady("the gateway is shutting down")
        if self._queued >= self._max_queued:
            raise Overloaded(
                f"{self._queued} lexical searches wait already, the limit is {self._max_queued} "
                "(TANDEM_MAX_QUEUED_QUERIES)"
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        deadline = time.monotonic() + timeout

        self._queued += 1
        self._tasks.put(partial(self._answer, loop, answer, deadline, search))
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            raise DeadlineExceeded("the keyword search was not done in time") from None
        finally:
            self._queued -= 1
            # An error's traceback refers to this frame, and the future to the error: without this, a reference cycle.
            del answer

    def _answer(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: "asyncio.Future[R]",
        deadline: float,
        search: Callable[[LexicalFollower, float], R],
    ) -> None:
        if answer.done() or time.monotonic() >= deadline:
            return  # no caller waits
        found: R | None = None
        failure: BaseException | None = None
        started = time.monotonic()
        try:
            found = search(self._require_follower(), deadline)
        except BaseException as error:  # of any kind: otherwise the caller would wait for ever
            failure = error
        self._on_search(time.monotonic() - started)
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits
            loop.call_soon_threadsafe(_settle, answer, found, failure)
        # As in ``_ask``: the traceback refers to this frame.
        del failure, answer, found

    def follow(self) -> Future[bool]:
        """Follow the store a step; the future tells whether there is more to do. Any thread may call it."""
        stepped: Future[bool] = Future()
        if self._closed:
            stepped.set_exception(NotReady("the gateway is shutting down"))
            return stepped

        def run() -> None:
            try:
                stepped.set_result(self._require_follower().step())
            except BaseException as error:  # of any kind: otherwise the caller would wait for ever
                stepped.set_exception(error)

        self._tasks.put(run)
        return stepped

    def notify(self) -> None:
        """Make the index catch up soon; any thread may call it."""
        if not self._poked.is_set() and not self._closed:
            self._poked.set()
            self._tasks.put(self._follow)

    def close(self) -> None:
        """Finish the queued tasks and end the thread; blocks."""
        self._closed = True
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (task := self._next_task()) is not None:
            with self._touching:
                task()
            del task  # it may hold an answer, whose memory would stay in use until the next task comes
        if self._follower is not None:
            self._follower.close()

    def _next_task(self) -> Callable[[], None] | None:
        """Wait for a task. When idle, return a task to follow, for work that is due without a change in the store."""
        idle = None if self._follower is None else self._follower.idle_seconds
        try:
            return self._tasks.get(timeout=_IDLE_SECONDS if idle is None else min(idle, _IDLE_SECONDS))
        except queue.Empty:
            return self._follow

    def _require_follower(self) -> LexicalFollower:
        if self._follower is None:
            raise NotReady("the keyword index is not open yet")
        return self._follower

    def _follow(self) -> None:
        self._poked.clear()
        if self._follower is None:
            return  # the follower could not be opened
        try:
            more = self._follower.step()
        except GatewayError as error:
            # The next commit retries. A search meets the same error and reports it to its caller.
            log.error("the keyword index could not follow the store", extra={"error": for_log(error)})
            return
        except Exception:
            log.exception("the keyword index could not follow the store")
            return
        if more:
            self.notify()  # queued behind the waiting searches


def _settle(answer: "asyncio.Future[R]", found: R | None, failure: BaseException | None) -> None:
    if answer.done():
        return
    if failure is None:
        assert found is not None  # a search returns a list
        answer.set_result(found)
    else:
        answer.set_exception(failure if isinstance(failure, Exception) else RuntimeError(repr(failure)))
