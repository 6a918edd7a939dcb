"""The format of every error response; OpenAI's clients can parse it too.

``{"error": {"message", "type", "code", "param"}}``: ``message`` is for a person and names the field and the limit.
``type`` is the family. ``code`` is stable and for programs. ``param`` is the path of the field, or null.
"""

from typing import Literal

import msgspec

ErrorType = Literal["invalid_request_error", "rate_limit_error", "unavailable_error", "server_error"]

ErrorCode = Literal[
    # 400: the body cannot be parsed
    "malformed_body",
    "invalid_encoding",
    # 422: the body can be parsed, but a field is wrong
    "invalid_field",
    "unknown_field",
    "missing_field",
    "limit_exceeded",
    # other 4xx
    "unauthorized",
    "forbidden",
    "body_too_large",
    "body_timeout",
    "head_timeout",
    "unsupported_media_type",
    "not_acceptable",
    "not_found",
    "method_not_allowed",
    "conflict",
    "overloaded",
    "rate_limited",
    # 5xx
    "deadline_exceeded",
    "embedder_unavailable",
    "reranker_unavailable",
    "fingerprint_mismatch",
    "not_ready",
    "storage_unavailable",
    "storage_corrupt",
    "internal",
]


class ErrorBody(msgspec.Struct, frozen=True):
    """The inner object of an error response."""

    message: str
    """Text for a person: it names the field and the limit."""
    type: ErrorType
    """Family of the error."""
    code: ErrorCode
    """Stable name of the error, for programs."""
    param: str | None = None
    """Path of the field that is wrong, such as ``documents[3].text``; null if no field is."""


class ErrorReply(msgspec.Struct, frozen=True):
    """The body of every response whose status is 400 or more."""

    error: ErrorBody
    """The error."""


class ReceivedErrorBody(msgspec.Struct, frozen=True):
    """The reader's view of ``ErrorBody``: it accepts any type and code, because a newer service may add some."""

    message: str = ""
    type: str = ""
    code: str | None = None
    param: str | None = None


class ReceivedErrorReply(msgspec.Struct, frozen=True):
    """The reader's view of ``ErrorReply``."""

    error: ReceivedErrorBody
