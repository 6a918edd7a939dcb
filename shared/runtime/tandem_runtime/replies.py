"""Encodes error replies, for both services."""

import math

import msgspec

from tandem_contract.errors import ErrorBody, ErrorCode, ErrorReply, ErrorType

_encoder = msgspec.json.Encoder()

STATUS: dict[ErrorCode, int] = {
    "malformed_body": 400,
    "invalid_encoding": 400,
    "invalid_field": 422,
    "unknown_field": 422,
    "missing_field": 422,
    "limit_exceeded": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "body_too_large": 413,
    "body_timeout": 408,
    "head_timeout": 408,
    "unsupported_media_type": 415,
    "not_acceptable": 406,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "overloaded": 429,
    "rate_limited": 429,
    "deadline_exceeded": 504,
    "embedder_unavailable": 503,
    "reranker_unavailable": 503,
    "fingerprint_mismatch": 503,
    "not_ready": 503,
    "storage_unavailable": 503,
    "storage_corrupt": 500,
    "internal": 500,
}
"""The one table from error code to HTTP status, for every code of the contract."""


def error_reply(code: ErrorCode, message: str, param: str | None = None) -> bytes:
    """Return the body of an error response."""
    body = ErrorBody(message=message, type=_type_of(STATUS[code]), code=code, param=param)
    try:
        return _encoder.encode(ErrorReply(body))
    except UnicodeError:  # a path or a name from outside may hold a lone surrogate
        return error_reply(code, ascii(message), ascii(param) if param else None)


def retry_after(seconds: float) -> str:
    """Return the value of a Retry-After header: whole seconds, rounded up, from 1 to 120."""
    if not math.isfinite(seconds):
        return "120"
    return str(min(120, max(1, math.ceil(seconds))))


def _type_of(status: int) -> ErrorType:
    if status == 429:
        return "rate_limit_error"
    if status in (503, 504):
        return "unavailable_error"
    return "invalid_request_error" if status < 500 else "server_error"
