"""One HTTP/1.1 connection, for uvicorn's server: limits on its input, and deadlines.

uvicorn's own protocol accepts any number of pipelined requests, and heads and trailers of any size. It waits for their
end without a timeout.

    limit                                    response beyond it
    -----                                    ------------------
    HEAD_SECONDS for a head                  408; no response if no byte of a head has arrived
    MAX_HEAD_BYTES, MAX_FIELDS of a head     431
    MAX_HEAD_BYTES of trailers, in a row     431; trailers are dropped, as RFC 9110, section 6.5.1, allows
    MAX_WAITING pipelined requests           429
    ConnectionLimit                          503

Each of these responses is the connection's last. The connection sends it after the responses to earlier requests, and
until then drops further input, so that it notices a disconnect.
Nearly every head arrives in one piece on a connection in use, and then needs no timer.
"""

import asyncio
from collections import deque
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Scope
from tandem_runtime.serving.connection_limit import ConnectionLimit
from tandem_runtime.serving.exchange import Exchange
from tandem_runtime.serving.flow import ConnectionFlow
from tandem_runtime.serving.reader import Head, RequestReader
from tandem_runtime.serving.refusal import Refusal
from tandem_runtime.serving.scopes import ConnectionScope

MAX_WAITING: Final = 32
"""Maximum number of requests on one connection that wait for the responses to earlier requests."""
MAX_BODY_BYTES: Final = 64 << 10
"""The connection stops reading while more bytes of bodies wait for a handler; meanwhile it notices no disconnect."""
HEAD_SECONDS = 20.0
"""Seconds for a whole head. An incomplete head holds a connection and memory."""
_JOINED_BYTES: Final = 64 << 10
"""Maximum bytes of a response that are joined for one write. For a longer response, a copy would double the memory."""


class Connection(asyncio.Protocol):
    """One connection; implements ``reader.Requests`` and ``exchange.Channel``. See the module."""

    half_closed_seconds = 1.0
    """Seconds for running requests after the client has closed its side. TCP cannot tell whether the client still
    reads. Most such clients do not, so their work must end soon."""
    limit = ConnectionLimit(2048, "TANDEM_MAX_CONNECTIONS")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Make the connection; uvicorn calls it as it calls its own protocol class."""
        if not config.loaded:
            config.load()
        self._config = config
        self._app = config.loaded_app
        self._state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._reader = RequestReader(self)
        self._exchange: Exchange | None = None  # of the newest request
        self._open: deque[Exchange] = deque()  # requests without a complete response, oldest first
        self._waiting: deque[tuple[Exchange, Scope]] = deque()  # open requests without a handler yet, oldest first
        self._deaf = False  # whether to ignore further input
        self._held = False  # whether reading is paused for waiting requests
        self._lingers = False  # whether the connection is over the limit, and counts as lingering
        self._refusal: Refusal | None = None  # to be sent after the open requests' responses
        self._head_timer: asyncio.TimerHandle | None = None
        self._gone_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self.drained: asyncio.Event | None = None
        """Set once the write buffer has drained; None while it has room."""
        self._defaults: tuple[object, bytes] = (None, b"")

    # Called by the event loop and by uvicorn's server.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer of the first head; refuse a connection over the limit."""
        self._transport = cast(asyncio.Transport, transport)
        self.flow = ConnectionFlow(self._transport, self._loop)
        if not self.limit.has_room(len(self._state.connections)):
            self._transport.write(self.limit.response())
            if self.limit.may_linger():
                self._lingers = True
                self.flow.linger()
            else:
                self.flow.close()
            return
        self._state.connections.add(self)  # type: ignore[arg-type]  # names uvicorn's classes
        self._scope = ConnectionScope(transport, self._config.asgi_version, self._app_state)
        self.limit.idle[self] = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything, and report the disconnect to the handler of every open request."""
        if self._lingers:
            self.limit.lingering -= 1
        self.limit.idle.pop(self, None)
        self._state.connections.discard(self)
        for timer in (self._head_timer, self._gone_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        # Cycles would keep the heads and bodies of lost connections until the garbage collector runs.
        self._reader.close()
        self._exchange = None
        self._refusal = None  # its traceback refers to this connection
        lost = list(self._open)
        self._open.clear()
        self._waiting.clear()
        self.flow.lost()
        self._let_writers_go()
        for exchange in lost:
            exchange.lose()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, which starts requests; ignore them after the last request."""
        if self._deaf or self.flow.ended:
            self.flow.drop(len(data))
            return
        self._stop_idling()
        try:
            self._reader.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if self._head_timer is None and (self._reader.in_head or not self._open):
            self._await_head()

    def eof_received(self) -> bool:
        """Finish the requests that the client sent before it closed its side; return whether there are any.

        A response that goes on until the client leaves is not one that can be finished.
        """
        if self.flow.ended:
            return False
        self._deaf = True
        self._head_complete()
        if self._reader.in_body and self._open and self._open[-1] is self._exchange:  # it will never be complete
            self._give_back_last()
        if not self._open or self._open[0].streaming:
            return False
        self._gone_timer = self._loop.call_later(self.half_closed_seconds, self.flow.close)
        return True

    def pause_writing(self) -> None:
        """Make handlers wait: the write buffer is full."""
        self.flow.pause_writing()
        self.drained = asyncio.Event()

    def resume_writing(self) -> None:
        """Resume the handlers: the write buffer has drained."""
        self.flow.resume_writing()
        self._let_writers_go()

    def shutdown(self) -> None:
        """Close the connection after the open responses, or now if there are none."""
        if self._open:
            self._open[-1].keep_alive = False
        else:
            self.flow.close()

    # Called by the reader.

    def begins(self) -> None:
        """Accept a new request, unless too many wait."""
        self.limit.idle.pop(self, None)
        if len(self._waiting) >= MAX_WAITING:
            message = f"more than {MAX_WAITING} requests wait on this connection; await their answers"
            raise Refusal(429, "overloaded", message)

    def has_head(self, head: Head) -> None:
        """Start the request's handler, or queue the request behind earlier ones."""
        self._head_complete()
        scope = self._scope.of(head)
        exchange = Exchange(self, is_head=head.method == "HEAD", keep_alive=head.keep_alive, expects=head.expects)
        self._exchange = exchange
        self._open.append(exchange)
        if len(self._open) == 1:
            self._begin(exchange, scope)
        else:
            self._waiting.append((exchange, scope))

    def has_body(self, body: bytes) -> None:
        """Append a part of the body. One limit covers the bodies of all waiting requests together."""
        exchange = self._exchange
        assert exchange is not None
        if exchange.complete:
            return
        exchange.body += body
        if len(exchange.body) > MAX_BODY_BYTES or (self._waiting and self._waiting_bytes() > MAX_BODY_BYTES):
            self.flow.read(False)
        exchange.wake()

    def has_end(self) -> None:
        """End the request's body."""
        exchange = self._exchange
        assert exchange is not None
        if exchange.complete:
            return
        exchange.more_body = False
        exchange.wake()
        # A long body pauses reading until the handler has received it. A complete body needs no pause. Without reading,
        # the connection would not notice a disconnect.
        if not self._waiting:
            self.flow.read(True)

    # Called by an exchange; see ``Channel``.

    def default_headers(self) -> bytes:
        """Return the headers that every response has; the server makes a new list every second."""
        headers = self._state.default_headers
        if self._defaults[0] is not headers:
            self._defaults = (headers, b"".join(b"%s: %s\r\n" % header for header in headers))
        return self._defaults[1]

    def write(self, parts: list[bytes]) -> None:
        """Send these bytes; join them first if they are few."""
        if self.flow.ended:
            return
        if sum(map(len, parts)) > _JOINED_BYTES:
            # Not by writelines: before 3.12.9 and 3.13.2 asyncio's does not pause the protocol (CPython issue 127655).
            for part in parts:
                self._transport.write(part)
        else:
            self._transport.write(b"".join(parts))

    def keep(self, lease: Lease) -> None:
        """Hold a lease until the write buffer has drained."""
        self.flow.keep(lease)

    def takes_body(self) -> None:
        """Resume reading, unless the bodies of waiting requests are too large."""
        if not self._held:
            self.flow.read(True)

    def breaks(self) -> None:
        """Close the connection."""
        self.flow.close()

    def ends(self, exchange: Exchange) -> None:
        """Start the oldest waiting request, close the connection if it must end, or wait for the next request."""
        self._state.total_requests += 1
        self._open.popleft()
        if not exchange.keep_alive or (self._waiting and _is_cancelled()):
            self._waiting.clear()
            if exchange.more_body:
                self.flow.linger()
            else:
                self.flow.close()
        if self.flow.ended or self._transport.is_closing():
            return
        if self._waiting:
            following, scope = self._waiting.popleft()
            # After a refusal no body arrives, and the dropped input needs no room.
            self._hold(self._refusal is None and (self._deaf or self._waiting_bytes() > MAX_BODY_BYTES))
            self._begin(following, scope)
        elif self._refusal is not None:
            self._end()
        elif self._deaf:  # the client has closed its side
            self.flow.close()
        else:
            self._hold(False)
            if self._reader.in_body:  # the rest gets as long as a head: until then this connection makes no room
                self._await_head()
                return
            if not self._reader.in_head:
                self.limit.idle[self] = None
            self._idle_timer = self._loop.call_later(self._config.timeout_keep_alive, self._idle_for_too_long)

    # Helpers.

    def _begin(self, exchange: Exchange, scope: Scope) -> None:
        task = self._loop.create_task(exchange.run(self._app, scope))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _waiting_bytes(self) -> int:
        return sum(len(exchange.body) for exchange, _ in self._waiting)

    def _hold(self, held: bool) -> None:
        self._held = held
        self.flow.read(not held)

    def _let_writers_go(self) -> None:
        if self.drained is not None:
            self.drained.set()
            self.drained = None

    def _idle_for_too_long(self) -> None:
        if not self.flow.ended:
            self.flow.close()

    def _stop_idling(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(HEAD_SECONDS, self._give_up)

    def _head_complete(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.flow.ended:
            return
        if self._open:  # an earlier request still runs, with its own deadline
            self._await_head()
        elif self._reader.in_head:
            message = f"the request's head did not arrive within {HEAD_SECONDS:g} s"
            self._refuse(Refusal(408, "head_timeout", message))
        else:  # no request has begun, so no response is due
            self.flow.close()

    def _refuse(self, refusal: Refusal) -> None:
        """End the connection with this response once earlier requests have theirs. Until then drop the input."""
        self._deaf = True
        self._head_complete()
        newest = self._exchange
        if self._reader.in_body and newest is not None:
            # The fault is in the newest request's body. If it already has its response, the client would take a second
            # one for the response to its next request.
            if newest.complete:
                self.flow.linger()
                return
            if newest.started:
                self.flow.close()
                return
            self._give_back_last()
        self._refusal = refusal
        if not self._open:
            self._end()
        else:  # a connection that does not read would not notice a disconnect
            self._hold(False)

    def _give_back_last(self) -> None:
        """Remove the newest request, whose body will never be complete."""
        exchange = self._open.pop()
        if self._open:
            self._waiting.pop()
        exchange.lose()

    def _end(self) -> None:
        assert self._refusal is not None
        if not self._transport.is_closing():
            self._stop_idling()
            self._transport.write(self._refusal.response())
            self.flow.linger()


def _is_cancelled() -> bool:
    """Return whether the server has cancelled the running task; it does so once, to the tasks left after a drain."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
