"""Answers to what never becomes a request of the application: bad heads and framing, connections over the limit."""

import asyncio
import logging
import time
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tandem_contract import headers
from tandem_contract.errors import ErrorCode
from tandem_contract.service.replies import error_reply, retry_after
from tandem_contract.service.request_id import choose_request_id

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
_LOG_SECONDS: Final = 10.0
_MAX_LINGERING: Final = 128


class Refusal(Exception):
    """Raised while a request is read; the connection ends with this as its last response."""

    def __init__(self, status: int, code: ErrorCode, message: str, param: str | None = None) -> None:
        """Make it.

        Args:
            status: three digits; a 429 and a 503 get a Retry-After.
            code: of the error.
            message: for a person; names the limit.
            param: the field at fault.
        """
        super().__init__(message)
        self.status = status
        self._code = code
        self._message = message
        self._param = param

    def response(self) -> bytes:
        """Return the whole response, in the form of the application's errors; it is also a log line."""
        request_id = choose_request_id(None)
        log.warning("refused a connection", extra={"error": self._message, "request_id": request_id.decode()})
        return self._encoded(request_id)

    def _encoded(self, request_id: bytes) -> bytes:
        body = error_reply(self._code, self._message, self._param)
        later = self.status in (429, 503)
        return (
            STATUS_LINE[self.status]
            + b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
            + (b"retry-after: %s\r\n" % retry_after(RETRY_SECONDS).encode() if later else b"")
            + b"%s: %s\r\nconnection: close\r\n\r\n" % (headers.REQUEST_ID.encode(), request_id)
            + body
        )


class ConnectionLimit:
    """Bounds the open connections of a service.

    A connection over the limit takes the place of one that waits for a request, so that clients that keep connections
    cannot keep out a probe. If there is none, it is answered 503 and closed.
    """

    def __init__(self, limit: int, setting: str) -> None:
        """Make the limit.

        Args:
            limit: connections.
            setting: name of the variable that sets the limit, for messages.
        """
        self.limit = limit
        self._refusal = Refusal(503, "overloaded", f"more than {limit} connections are open ({setting}); retry later")
        self.idle: dict[asyncio.BaseProtocol, None] = {}
        """Connections without a request, those that wait longest first; at the limit the first makes room."""
        self.lingering = 0
        """Connections over the limit that are open until their client has sent what it sends."""
        self._refused = 0
        self._logged_at = float("-inf")

    def may_linger(self) -> bool:
        """Return whether one more may linger, which then counts; without, a client that is sending sees a reset."""
        if self.lingering >= _MAX_LINGERING:
            return False
        self.lingering += 1
        return True

    def response(self) -> bytes:
        """Return the response to a connection over the limit; every 10 s at most, a log line counts them."""
        self._refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            log.warning("refused connections", extra={"refused": self._refused, "limit": self.limit})
            self._logged_at, self._refused = now, 0
        return self._refusal._encoded(choose_request_id(None))
