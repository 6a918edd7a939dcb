"""Exceptions of the client; all of them are a ``TandemError``.

    TandemError
    ├── NotConnected          no connection to the gateway, so nothing was sent
    ├── ConnectionBroken      the connection broke; the gateway may have done the request
    ├── TimedOut              the call's time-out is over; the gateway may have done the request
    ├── InvalidReply          the reply is not what the API says
    ├── JobStalled            a job did not end in time
    ├── JobFailed             an adapter stored documents, and the gateway could not embed some
    ├── IngestStopped         a bulk ingest stopped before its end; has the report so far
    └── ApiError              the gateway refused the request; subclasses by what to do about it
        ├── InvalidRequest    400, 405, 406, 408, 413, 415, 422, 431: change the request
        ├── Unauthorized      401: the API key is missing or wrong
        ├── Forbidden         403: the API key may not do this
        ├── NotFound          404
        ├── Conflict          409: the present state does not allow it
        ├── Overloaded        429: send it again after ``retry_after`` seconds
        ├── RateLimited       429: a limit of the API key is used up
        ├── Unavailable       502, 503: not possible now
        ├── DeadlineExceeded  504: not done in time; a write may still take effect
        └── ServerFault       any other status

``str`` of an ApiError has its status, code, message and request id.
"""

from collections.abc import Mapping

import msgspec

from tandem_client.retry import parse_retry_after
from tandem_contract import headers as names
from tandem_contract.errors import ReceivedErrorBody, ReceivedErrorReply

MAX_MESSAGE_CHARS = 2_000
"""A longer message of a server is cut."""

_ENVELOPE = msgspec.json.Decoder(ReceivedErrorReply)


class TandemError(Exception):
    """Base of all exceptions that the client raises for what the gateway or the network did."""


class NotConnected(TandemError):
    """No connection to the gateway was made within the time-out, so nothing was sent."""


class ConnectionBroken(TandemError):
    """The connection broke after something was sent; the gateway may have done the request."""


class TimedOut(TandemError):
    """The call's time-out is over; the gateway may have done the request."""


class InvalidReply(TandemError):
    """The reply is not what the API says: another server answered, or the client is too old."""


class JobStalled(TandemError):
    """A job did not end in time, or made no progress. Its documents are stored and wait."""


class JobFailed(TandemError):
    """The gateway stored documents for an adapter, and could not embed some of them; the others are found."""


class ApiError(TandemError):
    """The gateway answered with an error.

    Attributes:
        status: of the response.
        message: of the gateway; it names the field and the limit.
        code: stable name of the error; None if something before the gateway answered.
        field: path of the field that is wrong, such as ``documents[3].text``; None if no field is.
        limit: header ``RateLimit-Limit``, for a key with limits; None without it.
        request_id: header ``X-Request-Id``; the gateway's log has it too.
        retry_after: seconds after which the request may be sent again; None if the gateway does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        field: str | None = None,
        limit: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.field = field
        self.limit = limit
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        named = f"{self.status} {self.code}" if self.code else str(self.status)
        asked = f" (request {self.request_id})" if self.request_id else ""
        return f"{named}: {self.message}{asked}"


class InvalidRequest(ApiError):
    """400, 405, 406, 408, 413, 415, 422, 431: the request has to change."""


class Unauthorized(ApiError):
    """401: the API key is missing or wrong."""


class Forbidden(ApiError):
    """403: the API key has not the role or the collection."""


class NotFound(ApiError):
    """404: no such collection, document or job."""


class Conflict(ApiError):
    """409: the present state does not allow it."""


class Overloaded(ApiError):
    """429: a queue or a memory bound of the gateway is full."""


class RateLimited(ApiError):
    """429: a limit of the API key is used up; ``field`` is ``requests``, ``tokens`` or ``documents``."""


class Unavailable(ApiError):
    """502, 503: not possible now."""


class DeadlineExceeded(ApiError):
    """504: not done within the gateway's deadline; a write may still take effect."""


class ServerFault(ApiError):
    """Any other status: a defect of the service, damaged data, or a redirect."""


_BY_STATUS: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 405, 406, 408, 413, 415, 422, 431), InvalidRequest),
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: Overloaded,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def error_of(status: int, headers: Mapping[str, str], body: bytes, now: float) -> ApiError:
    """Return the exception for a response with an error.

    Args:
        status: 300 or more.
        headers: names in any case.
        body: of the response, decompressed.
        now: seconds since the epoch, for a ``Retry-After`` that is a date.
    """
    told = _told(body)
    kind = _BY_STATUS.get(status, ServerFault)
    if told.code == "rate_limited":
        kind = RateLimited
    limit = headers.get("ratelimit-limit", "")
    message = told.message or _as_text(body) or "no message"
    if status < 400 and "location" in headers:
        message = f"redirect to {headers['location']}; the client follows none, so give it that URL"
    return kind(
        message if len(message) <= MAX_MESSAGE_CHARS else f"{message[:MAX_MESSAGE_CHARS]}...",
        status=status,
        code=told.code,
        field=told.param,
        limit=int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 19 else None,
        request_id=headers.get(names.REQUEST_ID),
        retry_after=parse_retry_after(headers.get("retry-after"), now),
    )


def _told(body: bytes) -> ReceivedErrorBody:
    """Return what an error's body tells: in the shape of all errors, or flat, as the routes of reranking answer."""
    try:
        return _ENVELOPE.decode(body).error
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        return msgspec.json.decode(body, type=ReceivedErrorBody)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ReceivedErrorBody()


def _as_text(body: bytes) -> str:
    return body[: 4 * MAX_MESSAGE_CHARS].decode(errors="replace").strip()
