"""Responses to input that never reaches the application: invalid heads and framing, and connections over the limit."""

import asyncio
import logging
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from tandem_contract import headers
from tandem_contract.errors import ErrorCode
from tandem_runtime.replies import error_reply, retry_after
from tandem_runtime.request_id import choose_request_id

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
_LOG_SECONDS: Final = 10.0
_MAX_LINGERING: Final = 128


class Refusal(Exception):
    """Raised while reading a request; it becomes the last response of the connection."""

    def __init__(self, status: int, code: ErrorCode, message: str, param: str | None = None) -> None:
        """Make it.

        Args:
            status: three digits; a 429 and a 503 get a Retry-After.
            code: the error code.
            message: text for a person; names the limit.
            param: the invalid field.
        """
        super().__init__(message)
        self.status = status
        self._code = code
        self._message = message
        self.param = param

    def response(self) -> bytes:
        """Return the whole response, in the format of the application's errors, and log it."""
        request_id = choose_request_id(None)
        log.warning("refused a connection", extra={"error": self._message, "request_id": request_id.decode()})
        return self._encoded(request_id)

    def _encoded(self, request_id: bytes) -> bytes:
        body = error_reply(self._code, self._message, self.param)
        later = self.status in (429, 503)
        return (
            b"HTTP/1.1 %d %s\r\n" % (self.status, HTTPStatus(self.status).phrase.encode())
            + b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
            + (b"retry-after: %s\r\n" % retry_after(RETRY_SECONDS).encode() if later else b"")
            + b"%s: %s\r\n" % (headers.REQUEST_ID.encode(), request_id)
            + b"date: %s\r\nconnection: close\r\n\r\n" % formatdate(usegmt=True).encode()
            + body
        )


class ConnectionLimit:
    """Limits the open connections of a service.

    A connection over the limit replaces an idle one, so that clients with kept connections cannot lock out a probe. If
    no connection is idle, the service answers 503 and closes the new one.
    """

    def __init__(self, limit: int, setting: str) -> None:
        """Make the limit.

        Args:
            limit: maximum number of connections.
            setting: name of the variable that sets the limit, for messages.
        """
        self.limit = limit
        self._refusal = Refusal(503, "overloaded", f"more than {limit} connections are open ({setting}); retry later")
        self.idle: dict[asyncio.BaseProtocol, None] = {}
        """Connections without a request, the longest idle first. At the limit, the first with no unread answer ends."""
        self.lingering = 0
        """Connections over the limit that stay open until their client has sent its request."""
        self._refused = 0
        self._logged_at = float("-inf")

    def may_linger(self) -> bool:
        """Return whether one more connection may linger, and count it.

        Without lingering, a client that still sends gets a reset and may lose the response.
        """
        if self.lingering >= _MAX_LINGERING:
            return False
        self.lingering += 1
        return True

    def response(self) -> bytes:
        """Return the response to a connection over the limit; log the count of refusals at most every 10 s."""
        self._refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            log.warning("refused connections", extra={"refused": self._refused, "limit": self.limit})
            self._logged_at, self._refused = now, 0
        return self._refusal._encoded(choose_request_id(None))
