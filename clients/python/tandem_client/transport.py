"""What both clients do with httpx2 alike: options of its client, requests, faults."""

import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

import httpx2

from tandem_client.bulk.batches import BulkOptions
from tandem_client.call import Call
from tandem_client.errors import InvalidReply
from tandem_client.exchange import Failed, Send
from tandem_client.settings import Settings, tls_context

DECODE_IN_THREAD_BYTES = 1 << 18
"""A larger reply is decoded in a thread, so that it does not hold the event loop."""

BULK_RETRIES = 1_000_000
"""The time-out ends the attempts of a batch."""
BULK_WAIT_SECONDS = 5.0
"""Longest wait of a batch, unless ``Retry-After`` is longer. A gateway that is back should not stand idle."""


class HttpOptions(TypedDict):
    """Arguments of both httpx2 clients."""

    base_url: str
    verify: Any
    trust_env: bool
    follow_redirects: bool
    limits: httpx2.Limits


def http_options(settings: Settings) -> HttpOptions:
    """Return the arguments of an httpx2 client."""
    return {
        "base_url": settings.url,
        "verify": _verify(settings),
        "trust_env": settings.uses_environment(),
        "follow_redirects": False,
        "limits": httpx2.Limits(max_connections=settings.max_connections, keepalive_expiry=30.0),
    }


def _verify(settings: Settings) -> ssl.SSLContext | bool:
    """Return the context for TLS. Without any, it has no authorities, which take 20 ms to load, and trusts nobody."""
    plain = settings.url.startswith("http:") and not settings.uses_environment()
    if plain and settings.verify is True and settings.cert is None:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return tls_context(settings.verify, settings.cert)


class RequestOptions(TypedDict):
    """Arguments of ``build_request`` of both httpx2 clients."""

    method: str
    url: str
    params: Mapping[str, str] | None
    content: bytes | None
    headers: Mapping[str, str]
    timeout: float


def request_options(call: Call[Any], step: Send) -> RequestOptions:
    """Return the arguments of a request."""
    return {
        "method": call.method,
        "url": call.path,
        "params": call.params or None,
        "content": call.body or None,
        "headers": step.headers,
        "timeout": step.timeout,
    }


def failed(error: httpx2.TransportError) -> Failed:
    """Return what happened to a request without a whole response.

    Raises:
        ValueError: the request cannot be sent as it is: it has an invalid header, for example.
    """
    said = str(error) or type(error).__name__
    if isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):
        raise ValueError(f"the request cannot be sent: {said}") from error
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError):
        return Failed("not_connected", f"no connection: {said}")
    if isinstance(error, httpx2.TimeoutException):
        return Failed("timed_out", f"no whole reply in time: {said}")
    return Failed("broken", f"the connection broke: {said}")


class Collected:
    """The body of a reply, up to a limit of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            InvalidReply: the body is larger than the limit.
        """
        self._size += len(piece)
        if self._size > self._most:
            raise InvalidReply(f"the reply has more than {self._most} bytes (max_reply_bytes)")
        self._parts.append(piece)

    def body(self) -> bytes:
        """Return all pieces."""
        return b"".join(self._parts)


def bulk_settings(settings: Settings, options: BulkOptions) -> Settings:
    """Return the settings of a bulk ingest: it waits longer for a gateway that is overloaded or restarts."""
    return replace(
        settings,
        timeout=max(settings.timeout, options.stall_seconds),
        attempt_timeout=settings.attempt_timeout or settings.timeout,
        retry=replace(settings.retry, retries=BULK_RETRIES, max_seconds=BULK_WAIT_SECONDS),
    )
