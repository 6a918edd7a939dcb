"""uvicorn's HTTP/1.1 with bounds: on a request's head, its trailers, and the requests that wait on a connection.

uvicorn takes any number of pipelined requests, heads and trailers of any size, and waits for their end for ever.

    bound                                    over it
    -----                                    -------
    HEAD_SECONDS for a head                  408; no answer if nothing of a head has come
    MAX_HEAD_BYTES, MAX_FIELDS of a head     431
    MAX_HEAD_BYTES of trailers, in a row     431; trailers are dropped, as RFC 9110, section 6.5.1, allows
    MAX_WAITING pipelined requests           429
    ConnectionLimit                          503

Each of these answers is the connection's last. It is sent after the answers to the requests before it. A head that
comes in one piece on a connection in use, as nearly all do, costs no timer.
"""

import asyncio
from collections import deque
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from tandem_runtime.exchange import EXCHANGE
from tandem_runtime.request_id import Scope
from tandem_runtime.serving.exchange import CycleExchange
from tandem_runtime.serving.flow import ConnectionFlow
from tandem_runtime.serving.reader import PIECE_BYTES, RequestReader
from tandem_runtime.serving.refusal import ConnectionLimit, Refusal

MAX_WAITING: Final = 32
"""Requests that wait on one connection for the answers before theirs."""
HEAD_SECONDS = 20.0
"""A head that is not complete by then is given up; as others, it holds a connection and memory."""


class BoundedHttp(RequestReader):
    """One connection; see the module."""

    half_closed_seconds = 1.0
    """A client that has closed its side gets the answers that come within this time. Most such clients are gone for
    good, which TCP does not tell; work for those must end soon."""
    limit = ConnectionLimit(2048, "TANDEM_MAX_CONNECTIONS")

    flow: ConnectionFlow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open: deque[RequestResponseCycle] = deque()  # requests without a whole response, oldest first
        self._lingers = False  # whether the connection is over the limit, and counts as lingering
        self._refusal: Refusal | None = None  # to be sent after the open requests' responses
        self._head_timer: asyncio.TimerHandle | None = None
        self._gone_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        if len(self.connections) >= self.limit.limit and self.limit.idle:
            waiting = cast("BoundedHttp", next(iter(self.limit.idle)))
            del self.limit.idle[waiting]
            waiting.flow.close()
        elif len(self.connections) >= self.limit.limit:
            self.transport = transport
            self.flow = ConnectionFlow(transport, self.loop)
            transport.write(self.limit.response())
            if self.limit.may_linger():
                self._lingers = True
                self.flow.linger()
            else:
                self.flow.close()
            return
        super().connection_made(transport)
        self.flow = ConnectionFlow(transport, self.loop)
        self.limit.idle[self] = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the handler of every request know."""
        if self._lingers:
            self.limit.lingering -= 1
        self.limit.idle.pop(self, None)
        self._head_complete()
        if self._gone_timer is not None:
            self._gone_timer.cancel()
        lost = list(self._open)
        self._open.clear()
        self.pipeline.clear()
        super().connection_lost(exc)
        self.flow.lost()
        for cycle in lost:
            _disconnect(cycle)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._deaf or self.flow.ended:
            self.flow.drop(len(data))
            return
        self._unset_keepalive_if_required()
        if len(data) <= PIECE_BYTES:
            self._feed(data)
        else:
            rest = memoryview(data)
            for start in range(0, len(data), PIECE_BYTES):
                self._feed(rest[start : start + PIECE_BYTES])
        if self._head_timer is None and not self._deaf and (self._head_bytes is not None or not self._serving()):
            self._await_head()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Finish what the client asked for before it closed its side; return whether there is something."""
        if self.flow.ended:
            return False
        self._deaf = True
        self._head_complete()
        if self._in_body and self._open and self._open[-1] is self.cycle:  # this request will never be complete
            self._in_body = False
            self._give_back_last()
        if not self._open:
            return False
        self._gone_timer = self.loop.call_later(self.half_closed_seconds, self.flow.close)
        return True

    def shutdown(self) -> None:
        """End after the response under way, or now."""
        if self._serving():
            self.cycle.keep_alive = False
        else:
            self.flow.close()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection."""
        if not self.flow.ended:
            self.flow.close()

    def on_message_begin(self) -> None:
        """Begin to read a head, unless too many requests wait."""
        self.limit.idle.pop(self, None)
        if len(self.pipeline) >= MAX_WAITING:
            raise Refusal(
                429, "overloaded", f"more than {MAX_WAITING} requests wait on this connection; await their answers"
            )
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; the bodies of waiting requests together are bounded as one body is."""
        self._bare_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if self.pipeline and self._waiting_bytes() > HIGH_WATER_LIMIT:
            self.flow.hold_reading = True
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Go on with the request that waits longest, or end the connection if it is to end, or wait."""
        self.server_state.total_requests += 1
        self._open.popleft()
        if self.flow.ended or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self.flow.hold_reading = self._deaf or self._waiting_bytes() > HIGH_WATER_LIMIT
            self.flow.resume_reading()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._end()
        elif self._deaf:  # the client has closed its side
            self.flow.close()
        else:
            self.flow.hold_reading = False
            self.flow.resume_reading()
            if self._head_bytes is None and not self._in_body:
                self.limit.idle[self] = None
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _request_begun(self) -> None:
        self._open.append(self.cycle)
        # The request's task has this scope, and begins after all that has come was read.
        cast(Scope, self.scope)[EXCHANGE] = CycleExchange(self.cycle)

    def _waiting_bytes(self) -> int:
        return sum(len(cycle.body) for cycle, _ in self.pipeline)

    def _serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _head_complete(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.flow.ended:
            return
        if self._serving():  # the answer before it is still being made, and has a deadline of its own
            self._await_head()
        elif self._head_bytes is not None:
            message = f"the request's head did not arrive within {HEAD_SECONDS:g} s"
            self._refuse(Refusal(408, "head_timeout", message))
        else:  # nothing was asked: there is nothing to answer
            self.flow.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more, and end the connection with this once the requests before it have their responses."""
        self._deaf = True
        self._head_bytes = None
        self._head_complete()
        if self._in_body and self.cycle.response_started:
            # The fault is in the body of a request that has its answer; another one would pass for the next request's.
            self._in_body = False
            if self.cycle.response_complete:
                self.flow.linger()
            else:
                self.flow.close()
            return
        if self._in_body:
            self._in_body = False
            self._give_back_last()
        self._refusal = refusal
        if not self._open:
            self._end()
        else:
            self.flow.hold_reading = True
            self.flow.pause_reading()

    def _give_back_last(self) -> None:
        """Take the newest request out, whose body will never be complete."""
        cycle = self._open.pop()
        if self._open:
            self.pipeline.popleft()
        _disconnect(cycle)

    def _end(self) -> None:
        assert self._refusal is not None
        if not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.transport.write(self._refusal.response())
            self.flow.linger()


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Tell a request's handler that there is nobody to answer."""
    cycle.disconnected = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    exchange: CycleExchange = cast(Scope, cycle.scope)[EXCHANGE]
    exchange.lost()
