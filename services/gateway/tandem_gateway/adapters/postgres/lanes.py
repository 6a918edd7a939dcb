"""Threads that each own a connection: they run the store's statements, so that none of them holds the event loop."""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg

from tandem_gateway.adapters.postgres.connection import Connection, explain, is_lost, is_retried, is_usable
from tandem_gateway.adapters.postgres.outage import Outage
from tandem_gateway.errors import DeadlineExceeded, GatewayError, Overloaded, StorageError, StorageUnavailable, for_log
from tandem_runtime.durations import duration

log = logging.getLogger(__name__)

R = TypeVar("R")

_ATTEMPTS: Final = 8
_FIRST_PAUSE: Final = 0.01
_CANCEL_SECONDS: Final = 2.0
_READ_ONLY: Final = "25006"


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How much a lane takes on."""

    threads: int
    """Number of connections."""
    max_queued: int
    """Maximum number of statements that wait or run; over it, a call raises Overloaded."""
    timeout: float
    """Seconds after which a caller stops waiting. The server is then told to stop, too."""


class Lane:
    """Some threads with a connection each. Statements wait in one queue of a bounded length."""

    def __init__(
        self,
        url: str,
        name: str,
        limits: LaneLimits,
        *,
        prepared: bool = True,
        on_done: Callable[[float], None] = lambda seconds: None,
        after: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """Make the threads; each connects with its first statement.

        Args:
            url: a connection string of libpq.
            name: of the threads.
            limits: see ``LaneLimits``.
            prepared: see ``connect``.
            on_done: called in a thread after each success, with the seconds that the statements took.
            after: called in a thread with the connection after each success, before the caller gets its result. If it
                fails, the call fails, and is run again as if the statements had failed.
        """
        self._url = url
        self._prepared = prepared
        self._max_queued = limits.max_queued
        self._timeout = limits.timeout
        self._on_done = on_done
        self._after = after
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix=name)
        self._own = threading.local()
        self._open: dict[int, Connection] = {}
        """Thread → its connection."""
        self._outage = Outage()
        self._queued = 0
        self._counting = threading.Lock()
        self._closed = False
        self.failure: str | None = None
        """Why the last statement failed; None if it succeeded, or was refused for what it asked."""

    async def run(self, statement: Callable[[Connection], R], *, repeatable: bool, followed: bool = True) -> R:
        """Run statements on a connection, in a thread.

        Args:
            statement: may be run again after it failed without an effect, for example in a deadlock.
            repeatable: whether it may also be run again if nobody knows whether it took effect.
            followed: whether ``after`` is called; false for work of which no client learns.

        Raises:
            Overloaded: too many statements wait.
            DeadlineExceeded: it took too long; it may still take effect.
            StorageUnavailable: the store is closed, or the database cannot be reached.
            StorageCorrupt: the database is damaged.
        """
        call = _Call(time.monotonic() + self._timeout)
        self._admit()
        running = self._threads.submit(lambda: self._run(call, statement, repeatable=repeatable, followed=followed))
        running.add_done_callback(self._ended)
        future = asyncio.wrap_future(running)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(future)
        except TimeoutError:
            future.add_done_callback(_retrieve)
            call.abandon()
            raise DeadlineExceeded(
                f"the database took longer than {duration(self._timeout)}; the write may still take effect"
            ) from None
        finally:
            del future  # the error's traceback refers to this frame; a reference back would be a reference cycle

    def submit(self, statement: Callable[[Connection], R], *, repeatable: bool) -> Future[R]:
        """Run statements as ``run`` does, for a caller without an event loop; any thread may call it.

        Raises:
            Overloaded, StorageUnavailable: see ``run``; the future has the other errors.
        """
        self._admit()
        future = self._threads.submit(
            lambda: self._run(_Call(time.monotonic() + self._timeout), statement, repeatable=repeatable)
        )
        future.add_done_callback(self._ended)
        return future

    def call(self, statement: Callable[[Connection], R], *, repeatable: bool) -> R:
        """Run statements as ``submit`` does, and wait for their end; blocks."""
        return self.submit(statement, repeatable=repeatable).result()

    def close(self) -> None:
        """Finish the queued statements and close the connections; blocks."""
        self._closed = True
        self._threads.shutdown()
        for connection in self._open.values():
            connection.close()

    def _admit(self) -> None:
        with self._counting:
            if self._closed:
                raise StorageUnavailable("the store is closed")
            if self._queued >= self._max_queued:
                raise Overloaded(
                    f"{self._queued} statements wait for the database already, the limit is {self._max_queued}"
                )
            self._queued += 1

    def _ended(self, future: "Future[R]") -> None:
        with self._counting:
            self._queued -= 1

    def _run(
        self, call: "_Call", statement: Callable[[Connection], R], *, repeatable: bool, followed: bool = True
    ) -> R:
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            if time.monotonic() >= call.until:
                raise DeadlineExceeded("the database had no time for the statement; it was not sent")
            sent = False
            try:
                with call.using(self._connection()) as connection:
                    sent = True
                    started = time.monotonic()
                    found = statement(connection)
                    self._on_done(time.monotonic() - started)
                    if followed:
                        self._after(connection)
            except psycopg.Error as error:
                if error.sqlstate == _READ_ONLY:
                    self._own.connection.close()  # a new one finds the primary, if another server is that now
                again = is_retried(error) or (is_lost(error) and (repeatable or not sent))
                again = again and (sent or not self._outage.is_known)
                if again and attempt < _ATTEMPTS and not call.abandoned:
                    call.pause(min(pause * random.uniform(0.5, 1.5), call.until - time.monotonic()))  # noqa: S311
                    pause = min(2 * pause, 1.0)
                    continue
                raise self._failed(explain(error)) from error
            self.failure = None
            return found
        raise AssertionError

    def _connection(self) -> Connection:
        """Return the connection of this thread."""
        found: Connection | None = getattr(self._own, "connection", None)
        if found is None or not is_usable(found):
            if found is not None:
                found.close()
            found = self._own.connection = self._outage.connect(self._url, prepared=self._prepared)
            self._open[threading.get_ident()] = found
        return found

    def _failed(self, error: GatewayError) -> GatewayError:
        if isinstance(error, StorageError):
            self.failure = str(error)
            log.error("a statement failed", extra={"error": for_log(error)})
        return error


class _Call:
    """A call of ``Lane.run``, which its caller may abandon."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.abandoned = False
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._wake = threading.Event()

    def using(self, connection: Connection) -> "_Using":
        """Return a context in which ``abandon`` cancels what runs on the connection."""
        return _Using(self, connection)

    def use(self, connection: Connection | None) -> None:
        with self._lock:
            self._connection = connection

    def pause(self, seconds: float) -> None:
        """Wait; less long if the caller abandons the call."""
        self._wake.wait(max(0.0, seconds))

    def abandon(self) -> None:
        """Tell the server to stop, in a thread; it may be too late."""
        self.abandoned = True
        self._wake.set()
        threading.Thread(target=self._cancel, name="store-cancel", daemon=True).start()

    def _cancel(self) -> None:
        with self._lock:  # so that no other call has the connection meanwhile
            if self._connection is not None:
                try:
                    self._connection.cancel_safe(timeout=_CANCEL_SECONDS)
                except psycopg.Error as error:
                    log.warning("a late statement could not be stopped", extra={"error": str(error)})


class _Using:
    def __init__(self, call: _Call, connection: Connection) -> None:
        self._call = call
        self._connection = connection

    def __enter__(self) -> Connection:
        self._call.use(self._connection)
        return self._connection

    def __exit__(self, *error: object) -> None:
        self._call.use(None)


def _retrieve(future: "asyncio.Future[R]") -> None:
    """Retrieve the error of an abandoned future, so that asyncio does not warn about it."""
    if not future.cancelled():
        future.exception()
