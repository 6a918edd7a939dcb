"""One HTTP/1.1 connection of the load client: bytes out, a status and a body back, one request at a time.

It runs httptools (uvicorn's parser, on llhttp) on uvloop, with callbacks and without a task for each request. A request
takes about 10 microseconds of CPU, as with wrk. docs/case-study.md has the comparison with general clients.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True, slots=True)
class Target:
    """The address of requests: an origin and a path on it."""

    host: str
    port: int
    path: str
    tls: bool = False
    api_key: str = field(default="", repr=False)

    @classmethod
    def of(cls, base_url: str, path: str, api_key: str = "") -> "Target":
        """Return the target of ``path`` under ``base_url``; ``api_key`` is empty for a server that needs none.

        Raises:
            ValueError: if the URL is no http or https URL with a host.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is no http:// or https:// URL with a host")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), parts.path.rstrip("/") + path, tls, api_key)

    def request(self, body: bytes) -> bytes:
        """Return a whole POST request with a JSON body."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        key = f"authorization: Bearer {self.api_key}\r\n" if self.api_key else ""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {host}:{self.port}\r\naccept: application/json\r\n{key}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body


class Connection(asyncio.Protocol):
    """Sends one request at a time and calls ``on_answer`` with the status and the body of each answer.

    If the connection is lost, or an answer is no HTTP, it calls ``on_lost`` once with the reason instead.
    """

    def __init__(
        self,
        on_answer: Callable[["Connection", int, bytes], None],
        on_lost: Callable[["Connection", str], None],
    ) -> None:
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._closed = False

    @classmethod
    async def open(
        cls,
        target: Target,
        on_answer: Callable[["Connection", int, bytes], None],
        on_lost: Callable[["Connection", str], None],
        timeout: float,
    ) -> "Connection":
        """Return a connection to the target.

        Raises:
            OSError, TimeoutError: if none can be made within ``timeout`` seconds.
        """
        context = ssl.create_default_context() if target.tls else None
        async with asyncio.timeout(timeout):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: cls(on_answer, on_lost), target.host, target.port, ssl=context
            )
        return connection

    def send(self, request: bytes) -> None:
        """Send a request; the previous one must have been answered."""
        assert self._transport is not None
        self._transport.write(request)

    @property
    def is_usable(self) -> bool:
        """Whether the connection can take another request."""
        return not self._closed and self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Close at once; no callback runs any more."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._lose("answer is no HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._lose("connection lost")

    def on_message_begin(self) -> None:
        """See httptools."""
        self._chunks = []

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        status = self._parser.get_status_code()
        if status < 200 or self._closed:  # 1xx only announces the answer
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._on_answer(self, status, self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))

    def _lose(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._on_lost(self, reason)
