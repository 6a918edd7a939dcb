"""Reads requests with llhttp, within limits, and ignores offers to upgrade the protocol.

llhttp buffers only the field that it is reading and passes everything else to uvicorn's class. That class keeps heads
and trailers of any size and any HTTP version. This subclass checks the limits of each part first.

httptools also ends a request at an offer to upgrade the connection, which loses the request's body. A server that does
not upgrade has to ignore the offer (RFC 9110, section 7.8). Java's own client offers HTTP/2 with its first request.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tandem_runtime.serving.refusal import Refusal

MAX_HEAD_BYTES: Final = 64 << 10
MAX_FIELDS: Final = 100
"""Maximum number of header fields in a head; each costs about 150 bytes besides its text."""
PIECE_BYTES: Final = 64 << 10
"""Maximum bytes per ``_feed``, so that a head in one piece is never too large. The transport reads up to 256 KiB."""

_CHECKED: Final = frozenset((b"host", b"expect", b"transfer-encoding"))


class RequestReader(HttpToolsProtocol):
    """The reading half of a connection; the subclass handles new requests and refusals."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes: int | None = None  # since the head began, without its first piece; None outside a head
        self._in_body = False  # whether the parser is in the body or the trailers of ``self.cycle``
        self._bare_bytes = 0  # since the last byte of a body: chunk extensions and trailers
        self._hosts = 0
        self._offered = False  # whether the last head offers an upgrade
        self._deaf = False  # whether to parse no more input

    def _head_complete(self) -> None:
        """Handle the end of a head."""
        raise NotImplementedError

    def _request_begun(self) -> None:
        """Start the request of ``self.cycle``, whose head is complete."""
        raise NotImplementedError

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse the request and stop reading; sets ``_deaf``."""
        raise NotImplementedError

    def _feed(self, data: bytes | memoryview) -> None:
        """Pass bytes to the parser; parse a head that offers an upgrade again, without the offer."""
        while not self._deaf:
            try:
                if self._head_bytes is not None:
                    self._head_bytes += len(data)
                elif self._in_body:
                    self._bare_bytes += len(data)
                self.parser.feed_data(data)
                if self._head_bytes is not None:
                    self._check_head_bytes(self._head_bytes)
                elif self._in_body and self._bare_bytes > MAX_HEAD_BYTES:
                    message = f"the trailers or chunk extensions have more than {MAX_HEAD_BYTES} bytes"
                    raise Refusal(431, "limit_exceeded", message, "trailers")
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :] if isinstance(data, memoryview) else memoryview(data)[upgrade.args[0] :]
                head = self._head_without_offer()
                if head is None:
                    self._refuse(Refusal(405, "method_not_allowed", "CONNECT is not allowed here", "method"))
                    return
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
                self._feed(head)  # has no offer, so the recursion ends here
                if not data:
                    return
            except Refusal as refusal:
                self._refuse(refusal)
                return
            except httptools.HttpParserError as error:
                raised = error.__context__
                if not isinstance(raised, Refusal):
                    raised = Refusal(400, "malformed_body", "the request is not valid HTTP/1.1")
                self._refuse(raised)
                return

    def on_message_begin(self) -> None:
        """Begin to count the head's bytes."""
        self._head_bytes = self._hosts = 0
        self._offered = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head. Drop a trailer: it could pass for a header that a proxy has checked."""
        if self._head_bytes is None:
            return
        name = name.lower()
        if name in _CHECKED:
            self._check_field(name, value)
        if len(self.headers) >= MAX_FIELDS:
            raise Refusal(431, "limit_exceeded", f"the request has more than {MAX_FIELDS} header fields", "headers")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, unless ``_feed`` will parse its head again."""
        if self._head_bytes:  # a head in one piece cannot be too large
            self._check_head_bytes(len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers))
        self._head_bytes = None
        self._head_complete()
        self._offered = self.parser.should_upgrade()
        if self._offered:
            return
        self._check_version()
        super().on_headers_complete()
        self._in_body = True
        self._bare_bytes = 0
        self._request_begun()

    def on_message_complete(self) -> None:
        """End the request's body, unless ``_feed`` will parse its head again."""
        if self._offered:
            return
        self._in_body = False
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
            # A long body pauses reading until it is taken. A complete body needs no pause, and a connection that is not
            # read does not show that its client is gone.
            self.flow.resume_reading()

    def _check_field(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif value.lower() != b"chunked" or name in (known for known, _ in self.headers):
            raise Refusal(
                501,
                "malformed_body",
                "transfer-encoding: only chunked is implemented, and that alone",
                "transfer-encoding",
            )

    def _check_version(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refusal(505, "malformed_body", f"HTTP/{version} is not served here; use HTTP/1.1")
        if version == "1.0" and b"transfer-encoding" in (name for name, _ in self.headers):
            message = "transfer-encoding: HTTP/1.0 has none; send content-length"
            raise Refusal(400, "malformed_body", message, "transfer-encoding")
        if self._hosts != 1 and (version == "1.1" or self._hosts):
            message = f"host: exactly one Host header was expected, there are {self._hosts}"
            raise Refusal(400, "malformed_body", message, "host")

    def _check_head_bytes(self, bytes: int) -> None:
        if bytes > MAX_HEAD_BYTES:
            message = f"the request's head is larger than {MAX_HEAD_BYTES} bytes"
            raise Refusal(431, "limit_exceeded", message, "headers")

    def _head_without_offer(self) -> bytes | None:
        """Return the last head without its offer of an upgrade; None for CONNECT, which is an upgrade by itself."""
        method: bytes = self.parser.get_method()
        if method == b"CONNECT":
            return None
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"
