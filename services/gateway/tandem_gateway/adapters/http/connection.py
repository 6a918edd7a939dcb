"""One HTTP/1.1 connection, one request at a time. httptools parses the responses, as it parses requests in the server.

The peer may be hostile: each part of a response has a bound, and anything beyond it closes the connection.
"""

import asyncio
from typing import Final, cast

import httptools

from tandem_gateway.adapters.http.messages import (
    MAX_ERROR_BYTES,
    MAX_HEAD_BYTES,
    ConnectionBroken,
    Response,
    ResponseTooLarge,
)

# Bytes of a header besides its name and its value: a colon and a line break.
_HEADER_REST: Final = 3


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response = Response()
        self._body = bytearray()
        self._most_bytes = 0
        self._head_only = False
        self._untried_tls = False
        self._head_bytes = 0
        self._idle_bytes = 0
        self._waiter: asyncio.Future[Response] | None = None
        self.reusable = True
        self.idle_since = 0.0

    async def exchange(self, request: bytes, max_bytes: int, *, head_only: bool = False) -> Response:
        """Send a request and return its response, whose body has at most ``max_bytes``.

        With ``head_only``, the response ends with its head; the connection is not used again.

        Raises:
            ConnectionBroken: the connection broke before the response was complete.
            ResponseTooLarge: the response is larger than allowed.
            TimeoutError: ``expire`` was called before the response was complete.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionBroken("the connection was closed")
        self._most_bytes = max_bytes
        self._head_only = head_only
        self._idle_bytes = 0
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            # Drop the future: an error's traceback refers to this connection, and a reference back to the error would
            # form a cycle. Drop the response: an idle connection must not keep it in memory.
            self._waiter = None
            self._response = Response()

    def expire(self) -> None:
        """Close the connection, and fail the exchange with TimeoutError."""
        self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def close(self) -> None:
        """Close the connection at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # callbacks of asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class is not a subclass
        self._untried_tls = transport.get_extra_info("sslcontext") is not None

    def data_received(self, data: bytes) -> None:
        """Parse a part of a response, and limit the bytes that are not part of its body."""
        if self._waiter is None or self._waiter.done():
            self.close()  # data without a request
            return
        before = len(self._body)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionBroken(f"the answer is no HTTP: {error}"))
        if self._waiter.done():
            return
        # The parser buffers incomplete headers and does not report bytes that it skips. Counting the received bytes
        # limits both.
        self._idle_bytes = 0 if len(self._body) > before else self._idle_bytes + len(data)
        self._bound_head(self._idle_bytes)

    def eof_received(self) -> None:
        """Record that the peer sends no more, which completes a body without a length."""
        self.reusable = False
        if not self._is_answered() and self._response.status >= 200 and self._ends_with_close():
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the exchange, if there is one."""
        why = "the connection was lost"
        if self._untried_tls:
            # With TLS 1.3, a server checks the client's certificate after the handshake, and may close without a word.
            why += " before its first response; the server may have refused the client's certificate"
        self._fail(ConnectionBroken(f"{why}: {exc}" if exc else why))
        del self._parser  # breaks the reference cycle of parser and connection

    # callbacks of httptools

    def on_message_begin(self) -> None:
        """Begin a response."""
        self._untried_tls = False
        if self._waiter is None or self._waiter.done():
            self.close()  # a second response: the next request would get it as its own
        self._response, self._body, self._head_bytes = Response(), bytearray(), 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head; count a trailer."""
        self._head_bytes += len(name) + len(value) + _HEADER_REST
        if self._head_bytes > MAX_HEAD_BYTES:
            self._bound_head(self._head_bytes)
        if self._response.status or self._head_bytes > MAX_HEAD_BYTES:
            return  # a trailer, or a header over the limit
        self._response.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the announced size of the body."""
        status = self._response.status = self._parser.get_status_code()
        if status < 200:
            return  # an interim response, which precedes the real one
        if status != 200:
            self._most_bytes = min(self._most_bytes, MAX_ERROR_BYTES)
        if self._head_only:
            # The parser does not know the method, so it would wait for the body that the head announces.
            self.reusable = False
            self._complete()
            return
        announced = self._response.header(b"content-length") or ""
        if announced.isdecimal():  # the parser has verified that it is a number
            self._bound_body(int(announced))

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        if not self._is_answered() and self._bound_body(len(self._body) + len(body)):
            self._body += body

    def on_message_complete(self) -> None:
        """Complete the exchange."""
        if self._response.status >= 200:  # a 1xx response precedes the real one
            self._complete()

    def _is_answered(self) -> bool:
        return self._waiter is None or self._waiter.done()

    def _ends_with_close(self) -> bool:
        names = {name for name, _ in self._response.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    def _complete(self) -> None:
        if self._waiter is None or self._waiter.done():
            return  # the rest of a response to HEAD, or of one that failed with a body
        self.reusable = self.reusable and self._parser.should_keep_alive()
        self._response.body = bytes(self._body)
        self._body = bytearray()
        self._waiter.set_result(self._response)

    def _bound_head(self, size: int) -> None:
        if size > MAX_HEAD_BYTES:
            self._fail(ResponseTooLarge(f"its head or trailers have more than {MAX_HEAD_BYTES} bytes"))

    def _bound_body(self, size: int) -> bool:
        """Return whether a body may have ``size`` bytes; fail the exchange if not."""
        if size > self._most_bytes:
            self._fail(
                ResponseTooLarge(f"its body has {size} bytes or more, at most {self._most_bytes} bytes are read")
            )
            return False
        return True

    def _fail(self, error: ConnectionBroken | ResponseTooLarge) -> None:
        self.close()
        self._body = bytearray()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
