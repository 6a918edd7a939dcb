"""The one exception handler: turns an exception of a handler, a guard or Litestar into a reply."""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, ValidationException

from tandem_contract.decoding import cut
from tandem_contract.errors import ErrorCode
from tandem_gateway.http.errors import reply_to
from tandem_runtime.body import ClientGone
from tandem_runtime.http import Reply, refusal
from tandem_runtime.request_id import Receive, Scope, Send

T = TypeVar("T")

# Codes of the errors that Litestar raises itself, by status.
_CODES: Final[dict[int, ErrorCode]] = {
    400: "malformed_body",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "overloaded",
    503: "not_ready",
}
_WITH_WAIT: Final = (429, 503)
_WAIT_SECONDS: Final = 1.0
_PARAMETER: Final = re.compile("Missing required (?:query|header|cookie) parameter '(.*?)'")
_FIELD: Final = re.compile("required field `(.*?)`")
# Litestar 2.25 lets these errors of a part with an unknown or a wrong character set through.
_CHARSET_ERRORS: Final = (UnicodeError, LookupError)
# Litestar's error for a client that disconnects while a form or a stream is read.
_GONE: Final = "client disconnected prematurely"
_MULTIPART: Final = "_multipart.py"


class Sent(Response[T]):
    """A whole reply as a handler's result; ``T`` is the type of its content, for the OpenAPI document."""

    def __init__(self, reply: Reply) -> None:
        """Make the response."""
        super().__init__(content=None, status_code=reply.status)  # type: ignore[arg-type]
        self._reply = reply

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return the application that sends the reply."""

        async def send_reply(scope: Scope, receive: Receive, send: Send) -> None:
            await self._reply.send(scope, send)

        return send_reply


class _Silence(Response[None]):
    """No reply: the client has disconnected."""

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        async def send_nothing(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        return send_nothing


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Return the response to an exception."""
    if isinstance(error, ClientGone) or (isinstance(error, InternalServerException) and error.detail == _GONE):
        return _Silence(None)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return Sent(_reply_to_litestar(request, error))
    if isinstance(error, _CHARSET_ERRORS) and any(name.endswith(_MULTIPART) for name in _files_of(error)):
        message = "the body: a part of the form is not in the character set that it names"
        return Sent(refusal("invalid_encoding", message, "body"))
    return Sent(reply_to(error))


def _reply_to_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Reply:
    code, message, param = _explain(error)
    headers = tuple((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items())
    if code == "not_found":
        message, param = f"there is nothing at {cut(request.scope['path'])}", "path"
    elif code == "method_not_allowed":
        message, param = f"{request.method} is not allowed at {cut(request.scope['path'])}", "method"
    elif code == "unauthorized":
        headers = (*headers, (b"www-authenticate", b"Bearer"))
    return refusal(code, message, param, _WAIT_SECONDS if error.status_code in _WITH_WAIT else None, headers)


def _explain(error: HTTPException) -> tuple[ErrorCode, str, str | None]:
    """Return the code, the message and the field of an error of Litestar's own."""
    if isinstance(error, ValidationException):
        extra = error.extra
        if isinstance(extra, list) and extra:  # of a parameter or a form; JSON is read by StrictJson
            param, said = extra[0].get("key"), str(extra[0].get("message", ""))
            if (field := _FIELD.search(said)) is not None:
                return "missing_field", f"required field is missing: {field[1]}", field[1]
            return "invalid_field", f"{param}: {said[:1].lower()}{cut(said[1:])}", param
        if (parameter := _PARAMETER.match(error.detail)) is not None:
            return "missing_field", f"required parameter is missing: {parameter[1]}", parameter[1]
        return "invalid_field", cut(error.detail), None
    code = _CODES.get(error.status_code, "invalid_field")
    return code, cut(error.detail) or code, "body" if code in ("malformed_body", "body_too_large") else None


def _files_of(error: Exception) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
