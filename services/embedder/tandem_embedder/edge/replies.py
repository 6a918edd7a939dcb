"""Replies as ASGI messages, and the one table from the domain's errors to the contract's error codes."""

from dataclasses import dataclass
from typing import Final

from tandem_contract import headers
from tandem_contract.decoding import InvalidMessage
from tandem_contract.errors import ErrorCode
from tandem_contract.service.replies import STATUS, error_reply, retry_after
from tandem_contract.service.request_id import Send
from tandem_embedder import errors

CODES: Final[dict[type[errors.EmbedderError], ErrorCode]] = {
    errors.InvalidText: "invalid_field",
    errors.LimitExceeded: "limit_exceeded",
    errors.InvalidDeadline: "invalid_field",
    errors.Overloaded: "overloaded",
    errors.DeadlineExceeded: "deadline_exceeded",
    errors.NotReady: "not_ready",
    errors.ModelError: "internal",
}

JSON: Final = headers.JSON.encode()
MSGPACK: Final = headers.MSGPACK.encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response; ``code`` is the error's, None for a success."""

    status: int
    body: bytes
    content_type: bytes = JSON
    code: ErrorCode | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        """Send it over an ASGI connection."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [
                    (b"content-type", self.content_type),
                    (b"content-length", str(len(self.body)).encode()),
                    *self.headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": self.body})


def refusal(
    code: ErrorCode,
    message: str,
    param: str | None = None,
    retry_after_seconds: float | None = None,
    extra_headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Reply:
    """Return an error as a reply."""
    more = extra_headers
    if retry_after_seconds is not None:
        more = (*more, (b"retry-after", retry_after(retry_after_seconds).encode()))
    return Reply(STATUS[code], error_reply(code, message, param), code=code, headers=more)


def of_error(error: Exception) -> Reply | None:
    """Return the reply to an error that was foreseen; None for one that is a defect of ours."""
    if isinstance(error, InvalidMessage):
        return refusal(error.code, error.message, error.param)
    if isinstance(error, errors.EmbedderError):
        return refusal(CODES[type(error)], error.message, error.param, error.retry_after_seconds)
    return None


def internal() -> Reply:
    """Return the reply to a defect; what it was is in the log, under the request's id."""
    return refusal("internal", "the embedder failed on this request; its log has the reason under the request id")
