"""A bounded pool of connections to one origin, with one deadline per call.

A general client does much that a call between two services does not need: redirects, cookies, proxies, decoding. Here,
a caller that gives up, by deadline or by cancellation, closes the connection; no other state needs a rollback.
"""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from tandem_gateway.adapters.http.connection import Connection
from tandem_gateway.adapters.http.messages import (
    MAX_ERROR_BYTES,
    ConnectFailed,
    ConnectTimedOut,
    NoFreeConnection,
    Response,
    encode_request,
)
from tandem_gateway.adapters.http.tls import Tls
from tandem_runtime.durations import duration


class Http1Transport:
    """Sends requests to one origin over a bounded number of connections; one event loop owns it."""

    def __init__(
        self,
        base_url: str,
        *,
        max_connections: int,
        address: str | None = None,
        tls: Tls | None = None,
        keepalive_seconds: float = 30.0,
        connect_seconds: float = 2.0,
    ) -> None:
        """Make the transport; it connects at the first call.

        Args:
            base_url: ``http://host[:port][/prefix]``, or the same with https.
            max_connections: maximum number of concurrent calls; further calls wait within their deadline.
            address: IP address to connect to. If None, the transport resolves the URL's host for each connection. The
                host header and the certificate check use the URL's host in either case.
            tls: certificates for https; by default the system's CAs, and no client certificate.
            keepalive_seconds: idle time after which a connection is not reused; must be less than the server's.
            connect_seconds: timeout of a connection attempt, with its TLS handshake.

        Raises:
            ValueError: the URL has no host.
        """
        parts = urlsplit(base_url)
        if not parts.hostname:
            raise ValueError(f"{base_url} names no host")
        self.base_url = base_url
        """The URL as it was given."""
        self._host = parts.hostname
        self._tls = (tls or Tls()) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._address = address or parts.hostname
        self._prefix = parts.path.rstrip("/")
        self._host_header = parts.netloc.rpartition("@")[2]
        self._places = asyncio.Semaphore(max_connections)
        self._idle: list[Connection] = []
        self._closed = False
        self._keepalive_seconds = keepalive_seconds
        self._connect_seconds = connect_seconds

    async def call(
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
            method: HTTP method, such as ``POST``; not HEAD or CONNECT.
            path: path below the URL's prefix; begins with a slash.
            headers: headers other than host and content-length.
            body: request body, which may be empty.
            timeout: deadline of the whole call, in seconds.
            fresh: use a new connection, and close the idle ones, which may be stale as well.
            max_bytes: maximum size of the body if the status is 200. For other statuses, ``MAX_ERROR_BYTES`` also
                applies.

        Raises:
            ConnectFailed: nothing was sent; a retry is safe.
            ConnectionBroken: the server may have received the request.
            UnsendableRequest: a header cannot be sent.
            ResponseTooLarge: the body is too large, or the head or the trailers exceed ``MAX_HEAD_BYTES``.
            TimeoutError: the call took longer than ``timeout``.
        """
        lines = [("host", self._host_header), *headers.items(), ("content-length", str(len(body)))]
        data = encode_request(method, self._prefix + path, lines, body)
        deadline = asyncio.get_running_loop().time() + timeout
        return await self.exchange(data, deadline=deadline, fresh=fresh, max_bytes=max_bytes)

    async def exchange(
        self,
        request: bytes,
        *,
        deadline: float,
        fresh: bool,
        max_bytes: int,
        head_only: bool = False,
        pool_deadline: float | None = None,
        connect_seconds: float | None = None,
    ) -> Response:
        """Send an encoded request and return the complete response; ``call`` and ``HttpxTransport`` use it.

        Args:
            request: the request as it is sent.
            deadline: deadline of the whole call; seconds of the event loop's clock.
            fresh: as for ``call``.
            max_bytes: as for ``call``.
            head_only: the method is HEAD, so the response has no body, even if its head announces one.
            pool_deadline: an earlier deadline for a free connection.
            connect_seconds: a shorter timeout of a connection attempt.

        Raises:
            ConnectFailed, ConnectionBroken, ResponseTooLarge, TimeoutError: as for ``call``.
            NoFreeConnection: the deadline passed while all connections were in use.
        """
        loop = asyncio.get_running_loop()
        if self._places.locked():
            try:
                async with asyncio.timeout_at(deadline if pool_deadline is None else min(deadline, pool_deadline)):
                    await self._places.acquire()
            except TimeoutError:
                raise NoFreeConnection("all connections were in use until the deadline") from None
        else:
            await self._places.acquire()
        try:
            if fresh:
                self.close_idle()
            connection = self._take_idle()
            if connection is None:
                async with asyncio.timeout_at(deadline):
                    connection = await self._connect(connect_seconds)
            # An exchange waits only for the response, so a timer is enough to end it.
            timer = loop.call_at(deadline, connection.expire)
            try:
                response = await connection.exchange(request, max_bytes, head_only=head_only)
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
        self.close_idle()

    def close_idle(self) -> None:
        """Close the idle connections, which may be as stale as one that just failed."""
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        # Take the most recently used connection, so that the others exceed the idle time and are closed.
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.idle_since < self._keepalive_seconds:
                return connection
            connection.close()
        return None

    async def _connect(self, seconds: float | None) -> Connection:
        limit = self._connect_seconds if seconds is None else min(seconds, self._connect_seconds)
        try:
            async with asyncio.timeout(limit):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    self._address,
                    self._port,
                    ssl=None if self._tls is None else await self._tls.context(),
                    server_hostname=None if self._tls is None else self._host,
                )
        except TimeoutError as error:
            raise ConnectTimedOut(f"no connection within {duration(limit)}") from error
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(f"its certificate is refused: {error.verify_message or error}") from error
        except OSError as error:
            raise ConnectFailed(str(error) or type(error).__name__) from error
        return connection
