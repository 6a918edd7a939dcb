"""Reads requests with llhttp, within limits, and ignores offers to upgrade the protocol.

llhttp buffers only the field that it is reading, and accepts heads and trailers of any size. This module checks the
limits of each part.

httptools also ends a request at an offer to upgrade the connection, which loses the request's body. A server that does
not upgrade has to ignore the offer (RFC 9110, section 7.8). Java's own client offers HTTP/2 with its first request.
"""

import logging
from typing import Final, NamedTuple, Protocol

import httptools

from tandem_runtime.serving.refusal import Refusal

log = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 64 << 10
MAX_FIELDS: Final = 100
"""Maximum number of header fields in a head; each costs about 150 bytes besides its text."""
PIECE_BYTES: Final = 64 << 10
"""Maximum bytes per ``_feed``, so that a head in one piece is never too large. The transport reads up to 256 KiB."""

_TLS: Final = b"\x16\x03"
"""First bytes of a client that speaks TLS: the type and the major version of its first record."""

_CHECKED: Final = frozenset((b"host", b"expect", b"transfer-encoding"))


class Head(NamedTuple):
    """A request's head.

    Attributes:
        method: as sent.
        url: as sent.
        version: ``1.1`` or ``1.0``.
        headers: names in lower case.
        keep_alive: whether the client wants to keep the connection.
        expects: whether the client waits for ``100 Continue``.
    """

    method: str
    url: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    expects: bool


class Requests(Protocol):
    """Receives the requests that the reader has read."""

    def begins(self) -> None:
        """The head of a request begins; may raise Refusal."""

    def has_head(self, head: Head) -> None:
        """The head is complete; may raise Refusal."""

    def has_body(self, body: bytes) -> None:
        """A part of the newest request's body has arrived."""

    def has_end(self) -> None:
        """The newest request is complete."""


class RequestReader:
    """Reads the requests of one connection."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._parser = _parser(self)
        self._head_bytes: int | None = None  # since the head began, without its first piece; None outside a head
        self._bare_bytes = 0  # since the last byte of a body: chunk extensions and trailers
        self._hosts = 0
        self._offered = False  # whether the last head offers an upgrade
        self._expects = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self.in_body = False
        """Whether a head is complete but its body is not."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun but is not complete."""
        return self._head_bytes is not None

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the connection.

        Raises:
            Refusal: the input is malformed or exceeds a limit. Do not feed the reader again.
        """
        if len(data) <= PIECE_BYTES:
            self._feed(data)
        else:
            rest = memoryview(data)
            for start in range(0, len(data), PIECE_BYTES):
                self._feed(rest[start : start + PIECE_BYTES])

    def close(self) -> None:
        """Let go of what refers back to the reader and would wait for the garbage collector. Do not feed it again."""
        del self._parser, self._requests

    def _feed(self, data: bytes | memoryview) -> None:
        """Pass bytes to the parser; parse a head that offers an upgrade again, without the offer."""
        while data:
            if self._head_bytes is not None:
                self._head_bytes += len(data)
            elif self.in_body:
                self._bare_bytes += len(data)
            offered: int | None = None
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                offered = upgrade.args[0]
            except httptools.HttpParserCallbackError as error:
                raised = error.__context__
                if isinstance(raised, Refusal):
                    raise raised from None
                log.error("an unexpected error", exc_info=raised)
                raise Refusal(500, "internal", "an unexpected error") from None
            except httptools.HttpParserError:
                raise Refusal(400, "malformed_body", _invalid(data)) from None
            if offered is not None:
                # Outside the handler: there, the offer would be the context of an error, in place of a refusal.
                data = memoryview(data)[offered:]
                head = self._head_without_offer()
                self._parser = _parser(self)
                self._feed(head)  # has no offer, so the recursion ends here
                continue
            if self._head_bytes is not None:
                _check_head_bytes(self._head_bytes)
            elif self.in_body and self._bare_bytes > MAX_HEAD_BYTES:
                message = f"the trailers or chunk extensions have more than {MAX_HEAD_BYTES} bytes"
                raise Refusal(431, "limit_exceeded", message, "trailers")
            return

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Start to count the head's bytes."""
        self._head_bytes = self._hosts = 0
        self._offered = self._expects = False
        self._url = b""
        self._headers = []
        self._requests.begins()

    def on_url(self, url: bytes) -> None:
        """Append a part of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Append a field to the head. Drop a trailer: it could pass for a header that a proxy checked."""
        if self._head_bytes is None:
            return
        name, value = name.lower(), value.rstrip(b" \t")  # llhttp leaves white space behind a value
        if name in _CHECKED:
            self._check_field(name, value)
        if len(self._headers) >= MAX_FIELDS:
            raise Refusal(431, "limit_exceeded", f"the request has more than {MAX_FIELDS} header fields", "headers")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin the request, unless ``_feed`` will parse its head again."""
        if self._head_bytes:  # a head in one piece cannot be too large
            _check_head_bytes(len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers))
        self._head_bytes = None
        self._offered = self._parser.should_upgrade()
        if self._offered:
            return
        version = self._parser.get_http_version()
        self._check_version(version)
        method: bytes = self._parser.get_method()
        newer = version != "1.0"  # a client of HTTP/1.0 knows no 100 Continue (RFC 9110, section 10.1.1)
        keep_alive = newer and self._parser.should_keep_alive()
        self._requests.has_head(
            Head(method.decode("ascii"), self._url, version, self._headers, keep_alive, newer and self._expects)
        )
        self.in_body = True  # only now: a refused head has no body, and the body before it is complete
        self._bare_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body."""
        self._bare_bytes = 0
        self._requests.has_body(body)

    def on_message_complete(self) -> None:
        """End the request, unless ``_feed`` will parse its head again."""
        if not self._offered:
            self.in_body = False
            self._requests.has_end()

    def _check_field(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
        elif value.lower() != b"chunked" or name in (known for known, _ in self._headers):
            message = "transfer-encoding: only chunked is implemented, and that alone"
            raise Refusal(501, "malformed_body", message, "transfer-encoding")

    def _check_version(self, version: str) -> None:
        if version not in ("1.1", "1.0"):
            raise Refusal(505, "malformed_body", f"HTTP/{version} is not served here; use HTTP/1.1")
        if version == "1.0" and b"transfer-encoding" in (name for name, _ in self._headers):
            message = "transfer-encoding: HTTP/1.0 has none; send content-length"
            raise Refusal(400, "malformed_body", message, "transfer-encoding")
        if self._hosts != 1 and (version == "1.1" or self._hosts):
            message = f"host: exactly one Host header was expected, there are {self._hosts}"
            raise Refusal(400, "malformed_body", message, "host")

    def _head_without_offer(self) -> bytes:
        """Return the last head without its offer of an upgrade.

        Raises:
            Refusal: for CONNECT, which is an upgrade by itself.
        """
        method: bytes = self._parser.get_method()
        if method == b"CONNECT":
            raise Refusal(405, "method_not_allowed", "CONNECT is not allowed here", "method")
        lines = [b"%s %s HTTP/%s" % (method, self._url, self._parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self._headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def _parser(reader: RequestReader) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(reader)
    # A request may follow one with "connection: close"; it is dropped with the connection. llhttp would refuse both.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _invalid(data: bytes | memoryview) -> str:
    if bytes(data[:2]) == _TLS:
        return "the client speaks TLS: this port serves plain http only"
    return "the request is not valid HTTP/1.1"


def _check_head_bytes(bytes: int) -> None:
    if bytes > MAX_HEAD_BYTES:
        message = f"the request's head is larger than {MAX_HEAD_BYTES} bytes"
        raise Refusal(431, "limit_exceeded", message, "headers")
