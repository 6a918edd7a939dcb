"""Loads a target over several connections at a given pace, and records every request."""

import asyncio
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvloop

from gateway_bench.load.connection import Connection, Target
from gateway_bench.load.pace import ClosedLoop, OpenLoop, Pace
from gateway_bench.load.timings import Summary, Timings

_CONNECT_SECONDS = 5.0
_RECONNECT_SECONDS = 0.1
_LOOK_SECONDS = 0.05
# The start of an answer that found nothing, as the architectures write it.
_EMPTY = (b'{"results":[]', b'{"results": []')

Progress = Callable[[int, float], None]
"""Called about 20 times a second with the number of finished requests and the seconds since the start."""

Check = Callable[[bytes], str | None]
"""Takes the body of an answer with status 200 and returns its fault, or None. Its time does not count as latency."""


class Unreachable(Exception):
    """The target accepts no connection."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to load: a closed loop for ``count`` requests or ``seconds``; with ``rate``, an open loop."""

    connections: int
    count: int | None = None
    seconds: float | None = None
    rate: float | None = None
    timeout: float = 30.0

    def pace(self, start: float) -> Pace:
        """Return the pace that begins at ``start``."""
        if self.rate is None:
            return ClosedLoop(start, count=self.count, seconds=self.seconds)
        return OpenLoop(start, rate=self.rate, count=self.total or 0)

    @property
    def total(self) -> int | None:
        """Number of requests, if it is known before the run."""
        if self.rate is not None and self.count is None:
            return max(1, round(self.rate * (self.seconds or 0.0)))
        return self.count


def run_load(
    target: Target, requests: Iterator[bytes], plan: Plan, progress: Progress | None = None, check: Check | None = None
) -> tuple[Timings, Summary]:
    """Load a target in an event loop of its own, and return the record and its figures.

    Args:
        target: address of the requests.
        requests: whole requests; an endless iterator.
        plan: number of clients, and pace.
        progress: called during the run.
        check: called with every answer; None accepts every body.

    Raises:
        Unreachable: if no connection can be made at the start. Later failures are recorded as errors.
    """
    return uvloop.run(_Driver(target, requests, plan, progress, check).run())


class _Slot:
    """A client: its connection, and the request under way."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.busy = False
        self.due = 0.0
        self.sent = 0.0


class _Driver:
    def __init__(
        self,
        target: Target,
        requests: Iterator[bytes],
        plan: Plan,
        progress: Progress | None,
        check: Check | None,
    ) -> None:
        self._target = target
        self._requests = requests
        self._plan = plan
        self._progress = progress
        self._check = check
        self._timings = Timings()
        self._slots = [_Slot() for _ in range(plan.connections)]
        self._idle: list[_Slot] = []
        self._by_connection: dict[Connection, _Slot] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._start = 0.0
        self._pace: Pace = ClosedLoop(0.0, count=0)
        self._stopped = threading.Event()

    async def run(self) -> tuple[Timings, Summary]:
        try:
            await self._connect_all()
            self._start = time.perf_counter()
            cpu = _cpu_seconds()
            self._pace = self._plan.pace(self._start)
            for slot in self._slots:
                self._next(slot)
            if isinstance(self._pace, OpenLoop):
                self._wake_at_each(self._pace)
            await self._watch()
            cpu = _cpu_seconds() - cpu
        finally:
            self._stopped.set()
            for task in self._connecting:
                task.cancel()
            for connection in self._by_connection:
                connection.close()
        return self._timings, self._timings.summarise(self._window(), cpu)

    def _window(self) -> float | None:
        return self._plan.seconds if self._plan.count is None else None

    async def _connect_all(self) -> None:
        for slot in self._slots:
            try:
                await self._connect(slot)
            except (OSError, TimeoutError) as error:
                where = f"{self._target.host}:{self._target.port}"
                raise Unreachable(f"{where} takes no connection: {error or 'no answer'}") from error

    async def _connect(self, slot: _Slot) -> None:
        connection = await Connection.open(self._target, self._answered, self._lost, _CONNECT_SECONDS)
        slot.connection = connection
        self._by_connection[connection] = slot

    def _wake_at_each(self, pace: OpenLoop) -> None:
        """Wake the event loop when requests are due; its own timers are too coarse, with steps of a millisecond."""
        loop = asyncio.get_running_loop()
        total = self._plan.total or 0

        def run() -> None:
            for number in range(total):
                wait = pace.due(number) - time.perf_counter()
                if wait > 0 and self._stopped.wait(wait):
                    return
                try:
                    loop.call_soon_threadsafe(self._wake)
                except RuntimeError:  # the loop has ended
                    return

        threading.Thread(target=run, name="pace", daemon=True).start()

    def _wake(self) -> None:
        while self._idle:
            slot = self._idle.pop()
            self._next(slot)
            if not slot.busy:  # no request was due, so the slot is idle again
                return

    def _next(self, slot: _Slot) -> None:
        due = self._pace.take(time.perf_counter())
        if due is None:
            slot.busy = False
            self._idle.append(slot)
            return
        slot.busy = True
        slot.due = due
        if slot.connection is not None and slot.connection.is_usable:
            self._send(slot)
        else:
            task = asyncio.get_running_loop().create_task(self._reconnect(slot))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _send(self, slot: _Slot) -> None:
        assert slot.connection is not None
        slot.sent = time.perf_counter()
        slot.connection.send(next(self._requests))

    async def _reconnect(self, slot: _Slot) -> None:
        if slot.connection is not None:
            self._by_connection.pop(slot.connection, None)
            slot.connection = None
        slot.sent = time.perf_counter()
        try:
            await self._connect(slot)
        except (OSError, TimeoutError):
            self._record(slot, "no connection")
            slot.busy = False  # its error is recorded
            await asyncio.sleep(_RECONNECT_SECONDS)
            self._next(slot)
            return
        self._send(slot)

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        slot = self._by_connection[connection]
        if not slot.busy:
            connection.close()  # no request asked for this answer
            return
        now = time.perf_counter()
        if status == 200:
            self._timings.empty += body.startswith(_EMPTY)
            self._record(slot, self._check(body) if self._check is not None else None, now)
        else:
            self._record(slot, f"HTTP {status}", now)
        self._next(slot)

    def _lost(self, connection: Connection, reason: str) -> None:
        slot = self._by_connection.pop(connection, None)
        if slot is None:
            return
        slot.connection = None
        if slot.busy:
            self._record(slot, reason)
            self._next(slot)

    def _record(self, slot: _Slot, kind: str | None, now: float | None = None) -> None:
        now = time.perf_counter() if now is None else now
        self._timings.add(slot.due - self._start, slot.sent - self._start, now - self._start, kind)

    async def _watch(self) -> None:
        """Report progress and end requests that time out; return after the last one."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.perf_counter()
            if self._progress is not None:
                self._progress(len(self._timings.outcome), now - self._start)
            for slot in self._slots:
                if slot.busy and slot.connection is not None and now - slot.sent > self._plan.timeout:
                    slot.connection.close()
                    self._record(slot, "timeout")
                    self._next(slot)
            if self._pace.is_over(now) and not any(slot.busy for slot in self._slots):
                return
            if isinstance(self._pace, OpenLoop) and now > self._last_due(self._pace) + self._plan.timeout:
                self._give_up(self._pace, now)
                return

    def _last_due(self, pace: OpenLoop) -> float:
        return pace.due((self._plan.total or 1) - 1)

    def _give_up(self, pace: OpenLoop, now: float) -> None:
        """Record the requests that the server never got to as errors."""
        for slot in self._slots:
            if slot.busy:
                self._record(slot, "timeout")
        while (due := pace.take(now)) is not None:
            self._timings.add(due - self._start, now - self._start, now - self._start, "not sent in time")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
