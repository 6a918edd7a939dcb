"""From what went wrong to what the client is told: the one table, and the handlers that use it."""

import logging
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from tandem_contract.decoding import InvalidMessage
from tandem_contract.errors import ErrorCode
from tandem_contract.service.replies import STATUS, error_reply, retry_after
from tandem_gateway import errors
from tandem_gateway.errors import GatewayError

log = logging.getLogger(__name__)

CODES: dict[type[GatewayError], ErrorCode] = {
    errors.NotFound: "not_found",
    errors.Overloaded: "overloaded",
    errors.DeadlineExceeded: "deadline_exceeded",
    errors.EmbedderUnavailable: "embedder_unavailable",
    errors.EmbedderRejected: "invalid_field",
    errors.EmbedderBroken: "embedder_unavailable",
    errors.FingerprintMismatch: "fingerprint_mismatch",
    errors.NotReady: "not_ready",
    errors.StorageUnavailable: "storage_unavailable",
    errors.StorageCorrupt: "storage_corrupt",
}
"""Domain error → code of the contract; the code decides the status. InvalidRequest brings its own code."""

# Statuses of the framework's own errors.
_FRAMEWORK: dict[int, ErrorCode] = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


def reply(code: ErrorCode, message: str, param: str | None = None, wait: float | None = None) -> Response[bytes]:
    """Return an error response; ``wait`` becomes Retry-After, which every 429 and 503 has."""
    status = STATUS[code]
    if wait is None and status in (429, 503):
        wait = 1.0
    return Response(
        error_reply(code, message, param),
        status_code=status,
        media_type=MediaType.JSON,
        headers={"retry-after": retry_after(wait)} if wait is not None else {},
    )


def on_invalid_message(_: Request[Any, Any, Any], error: InvalidMessage) -> Response[bytes]:
    """Answer a body that cannot be accepted."""
    return reply(error.code, error.message, error.param)


def on_gateway_error(_: Request[Any, Any, Any], error: GatewayError) -> Response[bytes]:
    """Answer a domain error."""
    if isinstance(error, errors.InvalidRequest):
        return reply(error.code, str(error), error.param)
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), None)
    if code is None:
        log.error("an error without a code", exc_info=error)
        code = "internal"
    if isinstance(error, errors.StorageError):
        log.error("storage", extra={"error": str(error)})
    param = "query" if isinstance(error, errors.EmbedderRejected) else getattr(error, "param", None)
    return reply(code, str(error), param, getattr(error, "retry_after", None))


def on_framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refuses: unknown paths, wrong methods."""
    code = _FRAMEWORK.get(error.status_code)
    if code == "not_found":
        return reply(code, f"there is nothing at {request.url.path}", "path")
    if code == "method_not_allowed":
        response = reply(code, f"{request.method} is not allowed at {request.url.path}", "method")
        allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
        if allowed:
            response.headers["allow"] = allowed
        return response
    if code is not None:
        return reply(code, error.detail, "body")
    return on_unexpected(request, error)


def on_unexpected(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer what is our fault; the log has the trace, under the request's id."""
    log.error("an unexpected error", exc_info=error)
    return reply("internal", "an unexpected error; the gateway's log has more under this X-Request-Id")
