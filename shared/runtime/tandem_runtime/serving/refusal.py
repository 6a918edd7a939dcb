"""Responses to input that never reaches the application, such as invalid heads and framing."""

import logging
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from tandem_contract import headers
from tandem_contract.errors import ErrorCode
from tandem_runtime.replies import error_reply, retry_after
from tandem_runtime.request_id import choose_request_id

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0


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
        return self.encoded(request_id)

    def encoded(self, request_id: bytes) -> bytes:
        """Return the whole response without a line in the log."""
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
