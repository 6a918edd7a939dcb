"""One HTTP/1.1 connection: uvicorn's protocol behind limits and deadlines.

uvicorn takes any number of pipelined requests, heads and trailers of any size, and waits for their end for ever.
``Connection`` stands between the socket and uvicorn's protocol. It uses only the interfaces of asyncio, and that of
uvicorn's ``Config(http=...)``: a class that is made with uvicorn's arguments, is told of its transport and is fed.

    bound                                    over it
    -----                                    -------
    HEAD_SECONDS for a head                  408; no answer if nothing of a head has come
    MAX_HEAD_BYTES, MAX_FIELDS of a head     431
    MAX_HEAD_BYTES of trailers, in a row     431
    MAX_WAITING pipelined requests           429
    ConnectionLimit                          503

Each of these answers is the connection's last. It is sent after the answers to the requests before it. uvicorn sees one
request at a time: the bytes of the next one wait here until the answer to the one before is written.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tandem_runtime.client_connection import CONNECTION
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send
from tandem_runtime.serving.flow import ConnectionFlow
from tandem_runtime.serving.framing import Framing, Part
from tandem_runtime.serving.gathered_writes import GatheredWrites
from tandem_runtime.serving.refusal import ConnectionLimit, Refusal

MAX_WAITING: Final = 32
"""Requests that wait on one connection for the answers before theirs."""
MAX_WAITING_BYTES: Final = 64 << 10
"""With more bytes of waiting requests, the connection is not read."""
HEAD_SECONDS = 20.0
"""A head that is not complete by then is given up; as others, it holds a connection and memory."""


class Connection(asyncio.Protocol):
    """One connection; implements ``client_connection.ClientConnection``. See the module."""

    half_closed_seconds = 1.0
    """A client that has closed its side gets the answers that come within this time. Most such clients are gone for
    good, which TCP does not tell; work for those must end soon."""
    limit = ConnectionLimit(2048, "TANDEM_MAX_CONNECTIONS")

    def __init__(self, *, app_state: dict[str, Any], **given: Any) -> None:
        """Make the connection with uvicorn's arguments."""
        self._protocol: HttpToolsProtocol | None = HttpToolsProtocol(app_state={**app_state, CONNECTION: self}, **given)
        self._framing = Framing()
        self._waiting: deque[list[bytes]] = deque()  # bytes of requests that wait, oldest first
        self._waiting_bytes = 0
        self._serving = False  # whether uvicorn has a request without a whole response
        self._started = False  # whether a part of that response is written
        self._continued = False  # whether that request was told to go on with its body
        self._feeding = False  # whether uvicorn is being fed; what it writes then is its own refusal
        self._rejected = False  # whether uvicorn refused what it was fed
        self._reads = True  # whether uvicorn wants to read on
        self._deaf = False  # whether to take no more input
        self._lingers = False  # whether the connection is over the limit, and counts as lingering
        self._refusal: Refusal | None = None  # to be sent after the responses to the requests before it
        self._on_gone: Callable[[], None] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._gone_timer: asyncio.TimerHandle | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, transport)
        self.flow = ConnectionFlow(self._transport, self._loop)
        full = self.limit.open >= self.limit.limit
        self.limit.open += 1
        if full and self.limit.idle:
            longest = cast("Connection", next(iter(self.limit.idle)))
            del self.limit.idle[longest]
            longest.flow.close()
        elif full:
            self._protocol = None
            self._transport.write(self.limit.response())
            if self.limit.may_linger():
                self._lingers = True
                self.flow.linger()
            else:
                self.flow.close()
            return
        self._out = GatheredWrites(self._transport, self, self._loop.call_soon)
        assert self._protocol is not None
        self._protocol.connection_made(self._out)
        self.limit.idle[self] = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler, and let go of everything."""
        self.limit.open -= 1
        if self._lingers:
            self.limit.lingering -= 1
        self.limit.idle.pop(self, None)
        self._head_complete()
        if self._gone_timer is not None:
            self._gone_timer.cancel()
        self._waiting.clear()
        self.flow.lost()
        self._detach(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._takes_nothing():
            self.flow.drop(len(data))
            return
        try:
            for part in self._framing.feed(data):
                self._take(part)
                if self._takes_nothing():
                    return
        except Refusal as refusal:
            self._refuse(refusal, in_body=self._framing.in_body)
            return
        if self._head_timer is None and (self._framing.in_head or not (self._serving or self._framing.in_body)):
            self._await_head()

    def eof_received(self) -> bool:
        """Finish what the client asked for before it closed its side; return whether there is something."""
        if self.flow.ended:
            return False
        self._deaf = True
        self._head_complete()
        if self._framing.in_body:  # this request will never be complete
            self._give_back_last()
        if not self._serving:
            return False
        self._gone_timer = self._loop.call_later(self.half_closed_seconds, self.flow.close)
        return True

    def pause_writing(self) -> None:
        """Pause the handler: the write buffer is full."""
        self.flow.pause_writing()
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Let the handler go on: the write buffer has drained."""
        self.flow.resume_writing()
        if self._protocol is not None:
            self._protocol.resume_writing()

    # Called by uvicorn's protocol, through its transport.

    def writes(self, data: bytes) -> bool:
        """Note what uvicorn writes; see ``gathered_writes.Owner``."""
        if self._feeding:
            self._rejected = True
            return False
        if data.startswith(b"HTTP/1.1 100 "):
            self._continued = True
        else:
            self._started = True
        return not self.flow.ended

    def closes(self) -> None:
        """End the connection: uvicorn has written its last response, was idle for too long, or shuts down."""
        if self._feeding:
            return
        self._out.flush()
        sending = self._framing.in_body or self._waiting or self._framing.in_head
        if self._serving and sending and not self.flow.ended:
            self._waiting.clear()
            self.flow.linger()
        else:
            self.flow.close()

    def reads(self, wanted: bool) -> None:
        """Note whether uvicorn has room for more of the body."""
        self._reads = wanted
        self._update_reading()

    # Called by the application; see ``ClientConnection``.

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected, or sent a request that is not answered."""
        return self._protocol is None

    def body_has_arrived(self) -> bool:
        """Return whether all of the request that is being served has arrived."""
        return bool(self._waiting) or not self._framing.in_body

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Set the callback for a disconnect, or call it if the client has gone."""
        if callback is not None and self.gone:
            callback()
        else:
            self._on_gone = callback

    def keep(self, lease: Lease) -> None:
        """Hold the lease of a response until the client has read it."""
        self._out.flush()
        self.flow.keep(lease)

    def must_close(self) -> bool:
        """Return whether the response must be the last: the client waits to send the body, or omits it."""
        return self._framing.expects and not self._continued and not self.body_has_arrived()

    def request_ends(self) -> None:
        """Go on with the request that waits longest, or end the connection if it is to end, or wait."""
        self._on_gone = None
        if self._protocol is None:
            return
        self._out.flush()
        self._serving = False
        if self.flow.ended or self._transport.is_closing():
            return
        if self._waiting:
            pieces = self._waiting.popleft()
            self._waiting_bytes -= sum(map(len, pieces))
            self._serve()
            for piece in pieces:
                self._feed(piece)
            self._update_reading()
        elif self._refusal is not None:
            self._end()
        elif self._deaf:  # the client has closed its side
            self.flow.close()
        else:
            self._update_reading()
            if not (self._framing.in_head or self._framing.in_body):
                self.limit.idle[self] = None

    # The rest.

    def _takes_nothing(self) -> bool:
        return self._deaf or self.flow.ended

    def _take(self, part: Part) -> None:
        """Hand a part of a request to uvicorn, or keep it until the requests before it have their responses."""
        if part.begins:
            self._head_complete()
            self.limit.idle.pop(self, None)
            if self._serving:
                if len(self._waiting) >= MAX_WAITING:
                    message = f"more than {MAX_WAITING} requests wait on this connection; await their answers"
                    self._refuse(Refusal(429, "overloaded", message), in_body=False)
                    return
                self._waiting.append([])
            else:
                self._serve()
        if self._waiting:
            self._waiting[-1].append(bytes(part.data))
            self._waiting_bytes += len(part.data)
        else:
            self._feed(part.data)
        self._update_reading()

    def _serve(self) -> None:
        self._serving = True
        self._started = self._continued = False
        self._reads = True

    def _feed(self, data: bytes | memoryview) -> None:
        protocol = self._protocol
        if protocol is None:
            return
        self._feeding = True
        protocol.data_received(cast(bytes, data))
        self._feeding = False
        if self._rejected:
            self._waiting.clear()
            self._refuse(Refusal(400, "malformed_body", "the request is not valid HTTP/1.1"), in_body=True)

    def _update_reading(self) -> None:
        # A complete body needs no pause, and a connection that is not read does not show that its client is gone.
        wanted = self._reads or self.body_has_arrived()
        self.flow.read(wanted and self._waiting_bytes <= MAX_WAITING_BYTES and self._refusal is None)

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
        if self._serving:  # the answer before it is still being made, and has a deadline of its own
            self._await_head()
        elif self._framing.in_head:
            message = f"the request's head did not arrive within {HEAD_SECONDS:g} s"
            self._refuse(Refusal(408, "head_timeout", message), in_body=False)
        else:  # nothing was asked: there is nothing to answer
            self.flow.close()

    def _refuse(self, refusal: Refusal, *, in_body: bool) -> None:
        """Read no more, and end the connection with this once the requests before it have their responses.

        Args:
            refusal: the last response.
            in_body: whether the fault is in the newest request, which then gets no other response.
        """
        self._deaf = True
        self._head_complete()
        if in_body and self._waiting:
            self._waiting.pop()
        elif in_body:
            if self._started:  # another response would pass for the next request's
                if self._serving:
                    self.flow.close()
                else:
                    self.flow.linger()
                return
            self._detach(ConnectionError("the request is malformed"))
        self._refusal = refusal
        if self._serving:
            self._update_reading()
        else:
            self._end()

    def _give_back_last(self) -> None:
        """Take the newest request out, whose body will never be complete."""
        if self._waiting:
            self._waiting.pop()
        elif self._serving:
            self._detach(ConnectionError("the body is not complete"))

    def _detach(self, error: Exception | None) -> None:
        """Let the handler know that there is nobody to answer, and uvicorn that the connection is over."""
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        self._serving = False
        self._out.detach()
        protocol.connection_lost(error)
        callback, self._on_gone = self._on_gone, None
        if callback is not None:
            callback()

    def _end(self) -> None:
        assert self._refusal is not None
        if not self._transport.is_closing():
            self._transport.write(self._refusal.response())
            self.flow.linger()


def tracked(app: AsgiApp) -> AsgiApp:
    """Return ``app``, which tells its connection when a request ends."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        connection: Connection = scope["state"][CONNECTION]

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and connection.must_close():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            await app(scope, receive, send_last if connection.must_close() else send)
        finally:
            connection.request_ends()

    return wrapped
