"""An httpx2 transport over a pool of connections: ``httpx2.AsyncClient(transport=HttpxTransport(transport))``.

Use it for rare calls that want a general client. It shares the connections, certificates and addresses of the hot call,
and costs about three times the CPU of ``Http1Transport.call``. Import this module only where such calls are made:
httpx2 takes about 5 MiB, and the gateway's start does not load it.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

import httpx2

from tandem_gateway.adapters.http.messages import (
    ConnectFailed,
    ConnectionBroken,
    ConnectTimedOut,
    NoFreeConnection,
    Response,
    ResponseTooLarge,
    UnsendableRequest,
    encode_request,
)
from tandem_gateway.adapters.http.transport import Http1Transport

MAX_REQUEST_BYTES: Final = 16 << 20
"""Maximum size of a request's body."""

MAX_RESPONSE_BYTES: Final = 16 << 20
"""Maximum size of a response's body by default, if its status is 200. Others may have ``MAX_ERROR_BYTES``."""

DEFAULT_SECONDS: Final = 60.0
"""Deadline of a call whose read timeout is None: everything that waits has a deadline."""

# Idempotent methods: a retry does no harm (RFC 9110, 9.2.2).
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# This transport sends a complete body with its length, and reads only uncompressed bodies.
_REPLACED: Final = frozenset({"content-length", "transfer-encoding", "accept-encoding"})
# Characters of a method and of a header's name (RFC 9110, 5.6.2).
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HttpxTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of an ``httpx2.AsyncClient`` over the connections of an ``Http1Transport``.

    - The client's read timeout is the deadline of a whole call, with the wait for a connection and the connection. Its
      pool and connect timeouts can shorten those two. Its write timeout has no effect.
    - Bodies are complete, not streamed. A compressed response is refused: it could grow beyond every bound.
    - A request to another origin than the transport's is refused.
    - If a connection breaks, a request of an idempotent method is sent once more, over a new connection. So is a
      request with the extension ``idempotent``.
    - The extension ``max_bytes`` of a request is the maximum size of its response's body, instead of the transport's.
    - ``aclose`` leaves the connections to their owner, who calls ``Http1Transport.close``.
    """

    def __init__(self, transport: Http1Transport, *, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        """Make the transport.

        Args:
            transport: the pool of connections.
            max_bytes: maximum size of a response's body.
        """
        self._transport = transport
        self._origin = _origin(httpx2.URL(transport.base_url))
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return its complete response.

        Raises:
            httpx2.TransportError: its subclasses for the failures of a connection, timeouts, invalid requests and
                invalid or large responses.
        """
        seconds: Mapping[str, float | None] = request.extensions.get("timeout", {})
        started = asyncio.get_running_loop().time()
        deadline = started + (seconds.get("read") or DEFAULT_SECONDS)
        self._check(request)
        body = await _read(request, deadline)
        try:
            data = _encode(request, body)
            response = await self._send(request, data, started, deadline, seconds)
        except UnsendableRequest as error:
            raise httpx2.LocalProtocolError(str(error), request=request) from error
        except NoFreeConnection as error:
            raise httpx2.PoolTimeout(str(error), request=request) from error
        except ConnectTimedOut as error:
            raise httpx2.ConnectTimeout(str(error), request=request) from error
        except ConnectFailed as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        except (ConnectionBroken, ResponseTooLarge) as error:
            raise httpx2.RemoteProtocolError(str(error), request=request) from error
        except TimeoutError as error:
            raise httpx2.ReadTimeout("no complete response before the deadline", request=request) from error
        if response.body and any(
            name == b"content-encoding" and value.lower() != b"identity" for name, value in response.headers
        ):
            raise httpx2.RemoteProtocolError("the response is compressed, unasked", request=request)
        return httpx2.Response(
            response.status, headers=response.headers, stream=httpx2.ByteStream(response.body), request=request
        )

    async def _send(
        self, request: httpx2.Request, data: bytes, started: float, deadline: float, seconds: Mapping[str, float | None]
    ) -> Response:
        pool_seconds = seconds.get("pool")
        repeatable = request.method in _IDEMPOTENT or bool(request.extensions.get("idempotent"))
        max_bytes: int = request.extensions.get("max_bytes", self._max_bytes)
        for last in (False, True):
            try:
                return await self._transport.exchange(
                    data,
                    deadline=deadline,
                    fresh=last,
                    max_bytes=max_bytes,
                    head_only=request.method == "HEAD",
                    pool_deadline=None if pool_seconds is None else started + pool_seconds,
                    connect_seconds=seconds.get("connect"),
                )
            except ConnectionBroken:
                # The server may have closed an idle connection just as it was taken.
                if last or not repeatable:
                    raise
        raise AssertionError("unreachable")

    def _check(self, request: httpx2.Request) -> None:
        if _origin(request.url) != self._origin:
            raise httpx2.ConnectError(f"this transport connects to {self._transport.base_url} only", request=request)
        names = [name.decode("latin-1") for name, _ in request.headers.raw]
        if request.method == "CONNECT" or not all(_TOKEN.fullmatch(part) for part in (request.method, *names)):
            raise httpx2.LocalProtocolError("the method or a header's name cannot be sent", request=request)


def _origin(url: httpx2.URL) -> tuple[str, bytes, int]:
    return url.scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)


async def _read(request: httpx2.Request, deadline: float) -> bytes:
    """Return the request's body."""
    stream = request.stream
    if not isinstance(stream, httpx2.AsyncByteStream):
        raise httpx2.LocalProtocolError("the body is not for an asynchronous client", request=request)
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for part in stream:
                body += part
                if len(body) > MAX_REQUEST_BYTES:
                    too_large = f"the body has more than {MAX_REQUEST_BYTES} bytes"
                    raise httpx2.LocalProtocolError(too_large, request=request)
    except TimeoutError as error:
        raise httpx2.WriteTimeout("the body was not complete before the deadline", request=request) from error
    return bytes(body)


def _encode(request: httpx2.Request, body: bytes) -> bytes:
    raw = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    headers = [(name, value) for name, value in raw if name.lower() not in _REPLACED]
    headers += [("accept-encoding", "identity"), ("content-length", str(len(body)))]
    return encode_request(request.method, request.url.raw_path.decode("ascii"), headers, body)
