"""uvicorn's HTTP/1.1, with bounds on the size and the time of a request's head, and deaf to offers of another protocol.

httptools keeps a head of any size in memory, and uvicorn waits for its end for ever. Here a connection has
``HEAD_SECONDS`` for a head, from its beginning or the head's first byte on; between requests uvicorn's keep-alive
applies. A head that comes in one piece on a connection in use, as nearly all do, costs no timer.

And httptools ends a request at an offer to upgrade the connection, so that its body is lost; a server that upgrades
nothing has to pass over the offer and answer as if it were not there (RFC 9110, section 7.8). Java's own client makes
one, of HTTP/2, with its first request.
"""

import asyncio
import logging
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tandem_contract import headers
from tandem_contract.errors import ErrorCode
from tandem_contract.service.exchange import EXCHANGE
from tandem_contract.service.replies import error_reply
from tandem_contract.service.request_id import Scope, choose_request_id
from tandem_contract.service.serving.exchange import CycleExchange

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 << 10
"""As much as a head may have by the time another piece of it comes; a piece has at most 256 KiB."""


HEAD_SECONDS = 20.0
"""A head that is not complete by then is given up; as others, it holds a connection and memory."""


class BoundedHttp(HttpToolsProtocol):
    """One connection; see the module."""

    _head_bytes: int | None = None
    """Bytes since the head began; None while none is being read."""
    _offered = False
    """Whether the head just read offers an upgrade."""
    _head_timer: asyncio.TimerHandle | None = None
    _exchange: CycleExchange | None = None
    """Of the request that came last."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and let the request's handler know."""
        self._head_came()
        super().connection_lost(exc)
        if self._exchange is not None:
            self._exchange.lost()

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that offers an upgrade is read again without the offer."""
        self._unset_keepalive_if_required()
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(
                    b"431 Request Header Fields Too Large",
                    "limit_exceeded",
                    f"the request's head is larger than {MAX_HEAD_BYTES} bytes",
                )
                return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("the request is not valid HTTP/1.1")
        if self._head_timer is None and (self._head_bytes is not None or not self._serving()):
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; uvicorn's own answer has neither an error's shape nor an id."""
        self._refuse(b"400 Bad Request", "malformed_body", msg)

    def on_message_begin(self) -> None:
        """Begin to count the head."""
        self._head_bytes = 0
        self._offered = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is about to be read again."""
        self._head_bytes = None
        self._head_came()
        self._offered = self.parser.should_upgrade()
        if not self._offered:
            super().on_headers_complete()
            self._exchange = CycleExchange(self.cycle)
            # The request's task has this scope, and begins after all that has come was read.
            cast(Scope, self.scope)[EXCHANGE] = self._exchange

    def on_message_complete(self) -> None:
        """End the request's body, unless its head is about to be read again."""
        if not self._offered:
            super().on_message_complete()

    def _serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._serving():  # the answer before it is still being made, and has a deadline of its own
            self._await_head()
        elif self._head_bytes is not None:
            message = f"the request's head did not arrive within {HEAD_SECONDS:g} s"
            self._refuse(b"408 Request Timeout", "head_timeout", message)
        else:  # nothing was asked: there is nothing to answer
            self.transport.close()

    def _pass_over(self, rest: bytes) -> None:
        method: bytes = self.parser.get_method()
        if method == b"CONNECT":  # an upgrade by itself
            self._refuse(b"405 Method Not Allowed", "method_not_allowed", "CONNECT is not allowed here")
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _refuse(self, status: bytes, code: ErrorCode, message: str) -> None:
        """Answer what never becomes a request of the application, as the application would, and hang up."""
        body = error_reply(code, message)
        request_id = choose_request_id(None)
        log.warning("refused a connection", extra={"error": message, "request_id": request_id.decode()})
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (status, len(body))
            + b"%s: %s\r\nconnection: close\r\n\r\n" % (headers.REQUEST_ID.encode(), request_id)
            + body
        )
        self.transport.close()
