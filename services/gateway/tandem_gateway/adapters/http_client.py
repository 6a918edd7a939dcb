"""A small HTTP/1.1 client for calls between services: one origin, a bounded connection pool, and a deadline per call.

Requests and responses have whole bodies, without streaming. httptools parses the responses, as it parses requests in
the server. A general client does much that a call between two services does not need: redirects, cookies, proxies,
decoding. With httpx, that was two thirds of all the gateway's work for a search. Here, a caller that gives up, by
deadline or by cancellation, closes the connection; no other state needs a rollback.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

MAX_HEAD_BYTES = 16 << 10
"""Maximum size of a response's head, of its trailers, and of any other input that does not add to its body."""

MAX_ERROR_BYTES = 64 << 10
"""Maximum size of the body of a response whose status is not 200."""


class ConnectFailed(Exception):
    """No connection could be made; nothing was sent."""


class ConnectionBroken(Exception):
    """The connection closed, or received invalid HTTP, before the response was complete."""


class ResponseTooLarge(Exception):
    """The response is larger than the caller allows. The connection was closed before the whole response was read."""


@dataclass(slots=True)
class Response:
    """A complete response; header names are in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response = Response()
        self._body = bytearray()
        self._most_bytes = 0
        self._head_bytes = 0
        self._idle_bytes = 0
        self._waiter: asyncio.Future[Response] | None = None
        self.reusable = True
        self.idle_since = 0.0

    async def exchange(self, request: bytes, max_bytes: int) -> Response:
        """Send a request and return its response, whose body has at most ``max_bytes``.

        Raises:
            ConnectionBroken: the connection broke before the response was complete.
            ResponseTooLarge: the response is larger than allowed.
            TimeoutError: ``expire`` was called before the response was complete.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionBroken("the connection was closed")
        self._most_bytes = max_bytes
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

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class is not a subclass

    def data_received(self, data: bytes) -> None:
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
        self.reusable = False
        # The end of the connection ends a body without a length.
        if self._waiter is not None and not self._waiter.done() and self._response.status and self._ends_with_close():
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionBroken(f"the connection was lost{f': {exc}' if exc else ''}"))
        del self._parser  # breaks the reference cycle of parser and connection

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()  # a second response, which the next request would take for its own
        self._response, self._body, self._head_bytes = Response(), bytearray(), 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        self._bound_head(self._head_bytes)
        if self._response.status or self._head_bytes > MAX_HEAD_BYTES:
            return  # a trailer, or a header over the limit
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._response.status = self._parser.get_status_code()
        if self._response.status != 200:
            self._most_bytes = min(self._most_bytes, MAX_ERROR_BYTES)
        announced = self._response.headers.get("content-length", "")
        if announced.isdecimal():  # the parser has verified that it is a number
            self._bound_body(int(announced))

    def on_body(self, body: bytes) -> None:
        if self._bound_body(len(self._body) + len(body)):
            self._body += body

    def on_message_complete(self) -> None:
        if self._response.status >= 200:  # a 1xx response precedes the real one
            self._complete()

    def _ends_with_close(self) -> bool:
        return "content-length" not in self._response.headers and "transfer-encoding" not in self._response.headers

    def _complete(self) -> None:
        self.reusable = self.reusable and self._parser.should_keep_alive()
        self._response.body = bytes(self._body)
        self._body = bytearray()
        if self._waiter is not None and not self._waiter.done():
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


class Http1Client:
    """Sends requests to one origin over a bounded number of connections; one event loop owns it."""

    def __init__(
        self,
        base_url: str,
        *,
        max_connections: int,
        address: str | None = None,
        keepalive_seconds: float = 30.0,
        connect_seconds: float = 2.0,
    ) -> None:
        """Make the client; it connects at the first call.

        Args:
            base_url: ``http://host[:port][/prefix]``, or the same with https.
            max_connections: maximum number of concurrent calls; further calls wait within their deadline.
            address: IP address to connect to. If None, the client resolves the URL's host for each connection. The
                host header and the certificate check use the URL's host in either case.
            keepalive_seconds: idle time after which a connection is not reused; must be less than the server's.
            connect_seconds: timeout of a connection attempt.

        Raises:
            ValueError: the URL has no host.
        """
        parts = urlsplit(base_url)
        if not parts.hostname:
            raise ValueError(f"{base_url} names no host")
        self._host = parts.hostname
        self._address = address or parts.hostname
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._ssl else 80)
        self._prefix = parts.path.rstrip("/")
        self._host_header = parts.netloc.rpartition("@")[2]
        self._places = asyncio.Semaphore(max_connections)
        self._idle: list[_Connection] = []
        self._closed = False
        self._keepalive_seconds = keepalive_seconds
        self._connect_seconds = connect_seconds

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout: float,
        fresh: bool = False,
        max_bytes: int = MAX_ERROR_BYTES,
    ) -> Response:
        """Send a request and return the complete response.

        Args:
            method: HTTP method, such as ``POST``.
            path: path that begins with a slash.
            headers: headers other than host and content-length.
            body: request body, which may be empty.
            timeout: deadline of the whole call, in seconds.
            fresh: use a new connection, and close the idle ones, which may be stale as well.
            max_bytes: maximum size of the body if the status is 200. For other statuses, ``MAX_ERROR_BYTES`` also
                applies.

        Raises:
            ConnectFailed: nothing was sent; a retry is safe.
            ConnectionBroken: the server may have received the request.
            ResponseTooLarge: the body is too large, or the head or the trailers exceed ``MAX_HEAD_BYTES``.
            TimeoutError: the call took longer than ``timeout``.
        """
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", f"host: {self._host_header}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"content-length: {len(body)}\r\n\r\n")
        data = "\r\n".join(lines).encode("latin-1") + body
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if self._places.locked():
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        else:
            await self._places.acquire()
        try:
            if fresh:
                self._close_idle()
            connection = self._take_idle()
            if connection is None:
                async with asyncio.timeout_at(deadline):
                    connection = await self._connect()
            # An exchange waits for nothing but the response, so a timer is enough to end it.
            timer = loop.call_at(deadline, connection.expire)
            try:
                response = await connection.exchange(data, max_bytes)
            except BaseException:
                connection.close()
                raise
            finally:
                timer.cancel()
        finally:
            self._places.release()
        if connection.reusable and not self._closed:
            connection.idle_since = loop.time()
            self._idle.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Close the idle connections; calls in flight close their connections when they end."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        # Take the most recently used connection, so that the others exceed the idle time and are closed.
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.idle_since < self._keepalive_seconds:
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection,
                    self._address,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._host if self._ssl else None,
                )
        except TimeoutError as error:
            raise ConnectFailed(f"no connection within {self._connect_seconds:g} s") from error
        except OSError as error:
            raise ConnectFailed(str(error) or type(error).__name__) from error
        return connection
