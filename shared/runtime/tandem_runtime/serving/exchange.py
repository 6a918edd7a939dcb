"""One request and its response: ASGI's ``receive`` and ``send`` over a connection.

ASGI defines the messages: https://asgi.readthedocs.io/en/latest/specs/www.html. An application sends nearly every
response in two messages, which become one write to the connection.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

from tandem_runtime.client_connection import CONNECTION
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import AsgiApp, Message, Scope
from tandem_runtime.serving.refusal import Refusal

log = logging.getLogger(__name__)

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_NO_BODY: Final = (204, 304)
_KEEP: Final = b"\r\n"
_CLOSE: Final = b"connection: close\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Channel(Protocol):
    """The part of the connection that an exchange uses."""

    drained: asyncio.Event | None
    """Event that is set once the write buffer has room again; None while the buffer has room."""

    def default_headers(self) -> bytes:
        """Return the headers that every response has, each with its line end."""

    def write(self, parts: list[bytes]) -> None:
        """Send these bytes."""

    def keep(self, lease: Lease) -> None:
        """Hold a lease until the client has read the written bytes."""

    def takes_body(self) -> None:
        """Resume reading: the handler waits for more of the body."""

    def ends(self, exchange: "Exchange") -> None:
        """Start the next request: the response is written."""

    def breaks(self) -> None:
        """Close the connection: a response cannot be completed."""


class Exchange:
    """Implements ``client_connection.ClientConnection`` for one request."""

    __slots__ = (
        "_channel", "_chunked", "_continues", "_event", "_head", "_is_head", "_left", "_on_gone", "_taken",
        "body", "complete", "gone", "keep_alive", "more_body", "started", "streaming",
    )  # fmt: skip

    def __init__(self, channel: Channel, *, is_head: bool, keep_alive: bool, expects: bool) -> None:
        """Make the exchange of a request whose head is complete.

        Args:
            channel: the connection.
            is_head: whether the method is HEAD, so that the response has no body.
            keep_alive: whether the connection stays open after the response.
            expects: whether the client waits for ``100 Continue``.
        """
        self._channel = channel
        self._is_head = is_head
        self._continues = expects  # whether to send 100 Continue before the body is read
        self._event: asyncio.Event | None = None
        self._on_gone: Callable[[], None] | None = None
        self._head: bytes | None = None  # the response's head, held back until the first part of the body
        self._chunked = False
        self._left = 0  # bytes of the declared body that the application has not sent yet
        self._taken = False  # whether the application has received the end of the body
        self.keep_alive = keep_alive
        self.body = bytearray()
        """Bytes of the body that have arrived and that the application has not received."""
        self.more_body = True
        """Whether more of the body will arrive."""
        self.gone = False
        """Whether the client has disconnected, or sent a request that gets no response."""
        self.started = False
        """Whether a part of the response is written."""
        self.complete = False
        """Whether the whole response is written."""
        self.streaming = False
        """Whether the response goes on until the client leaves."""

    # For the connection.

    async def run(self, app: AsgiApp, scope: Scope) -> None:
        """Let ``app`` answer the request."""
        scope[CONNECTION] = self
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:  # only the end of the server cancels
            self._fail()
        except Exception:
            log.exception("an unexpected error")
            self._fail()
        else:
            if not (self.complete or self.gone):
                log.error("a response without an end", extra={"path": scope["path"]})
                self._fail()

    def wake(self) -> None:
        """Wake ``receive``: a part of the body or its end has arrived, or the client has disconnected."""
        if self._event is not None:
            self._event.set()

    def lose(self) -> None:
        """Mark the client as disconnected, and call the callback for a disconnect."""
        self.gone = True
        self._continues = False
        self.wake()
        callback, self._on_gone = self._on_gone, None
        if callback is not None:
            callback()

    # For the application, by ``ClientConnection``.

    def body_has_arrived(self) -> bool:
        """Return whether the whole body has arrived."""
        return not self.more_body

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Set the callback for a disconnect; call it at once if the client has disconnected."""
        if callback is not None and self.gone:
            callback()
        else:
            self._on_gone = callback

    def streams(self) -> None:
        """Note that the response goes on until the client leaves."""
        self.streaming = True

    def keep(self, lease: Lease) -> None:
        """Hold the lease of the response until the client has read it."""
        self._channel.keep(lease)

    # For the application, by ASGI.

    async def receive(self) -> Message:
        """Return the next message of the request."""
        if self._continues and not self.started:
            self._continues = False
            self._channel.write([_CONTINUE])
        while not (self.gone or self.complete):
            if not self._taken and (self.body or not self.more_body):
                body, self.body = bytes(self.body), bytearray()
                self._taken = not self.more_body
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self._channel.takes_body()
            if self._event is None:
                self._event = asyncio.Event()
            self._event.clear()
            await self._event.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a message of the response.

        Raises:
            RuntimeError: the message is not allowed now, or the body is not as long as its head says.
        """
        if self._channel.drained is not None:
            await self._channel.drained.wait()
        if self.gone:
            return
        kind = message["type"]
        if self._head is None and not self.started:
            if kind != "http.response.start":
                raise RuntimeError(f"http.response.start was expected, not {kind}")
            self._head = self._encode_head(message)
            return
        if kind != "http.response.body" or self.complete:
            raise RuntimeError(f"{kind} was not expected")
        body, more = message.get("body", b""), message.get("more_body", False)
        parts = [self._head] if self._head is not None else []
        if self._chunked:
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        elif not self._is_head:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body is not as long as its content-length")
            parts.append(body)
        self._head, self.started = None, True
        self._channel.write(parts)
        if not more:
            self.complete = True
            self._on_gone = None
            self.wake()
            self._channel.ends(self)

    def _encode_head(self, message: Message) -> bytes:
        status = message["status"]
        if self._continues:
            self._continues = False
            if self.more_body:  # the client may send or omit the body, so the next head's position is unknown
                self.keep_alive = False
        has_length = False
        parts = [_STATUS_LINES[status]]
        headers = message.get("headers", ())
        for name, value in headers:
            if name == b"content-length":
                has_length = True
                self._left = int(value)
            elif name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            elif name == b"transfer-encoding":
                continue
            parts += (name, b": ", value, b"\r\n")
        if not has_length and not self._is_head and status not in _NO_BODY:
            self._chunked = True
            parts.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(parts)
        lines = 1 + (len(parts) - 1 - self._chunked) // 4 + self._chunked
        if head.count(b"\n") != lines or head.count(b"\r") != lines:
            raise RuntimeError("a header has a line end")
        return head + self._channel.default_headers() + (_KEEP if self.keep_alive else _CLOSE)

    def _fail(self) -> None:
        """Answer 500 if no byte of the response is written. Else close the connection, so that the client notices."""
        if self.gone or self.complete:
            return
        if self.started:
            self._channel.breaks()
            return
        self.keep_alive, self.started, self.complete = False, True, True
        response = Refusal(500, "internal", "an unexpected error").response()
        if self._is_head:
            response = response[: response.index(b"\r\n\r\n") + 4]
        self._channel.write([response])
        self._channel.ends(self)
