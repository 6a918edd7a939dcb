"""Maps errors to replies; the only place that knows which error becomes which code."""

import logging
import math
from typing import Final

from tandem_contract.decoding import InvalidMessage
from tandem_contract.errors import ErrorCode
from tandem_gateway import errors
from tandem_gateway.errors import GatewayError
from tandem_runtime.http import Reply, refusal
from tandem_runtime.memory import RETRY_SECONDS, OverBudget
from tandem_runtime.replies import STATUS

log = logging.getLogger(__name__)

CODES: Final[dict[type[GatewayError], ErrorCode]] = {
    errors.NotFound: "not_found",
    errors.Conflict: "conflict",
    errors.Unauthorized: "unauthorized",
    errors.Forbidden: "forbidden",
    errors.Overloaded: "overloaded",
    errors.RateLimited: "rate_limited",
    errors.DeadlineExceeded: "deadline_exceeded",
    errors.EmbedderUnavailable: "embedder_unavailable",
    errors.EmbedderRejected: "invalid_field",
    errors.EmbedderBroken: "embedder_unavailable",
    errors.RerankerUnavailable: "reranker_unavailable",
    errors.RerankerRejected: "invalid_field",
    errors.RerankerBroken: "reranker_unavailable",
    errors.FingerprintMismatch: "fingerprint_mismatch",
    errors.NotReady: "not_ready",
    errors.StorageUnavailable: "storage_unavailable",
    errors.StorageCorrupt: "storage_corrupt",
}
"""Domain error → code of the contract; the code determines the HTTP status. InvalidRequest has its own code."""

_PARAMS: Final[dict[type[GatewayError], str]] = {
    errors.EmbedderRejected: "query",
    errors.RerankerRejected: "query",
    errors.Unauthorized: "authorization",
}
"""Domain error → the field or header that it is about, for errors that do not know it."""

_WAIT_SECONDS = 1.0


def reply_to(error: Exception) -> Reply:
    """Return the reply for any exception of a handler; log the gateway's own faults under the request's id."""
    if isinstance(error, InvalidMessage):
        return refusal(error.code, error.message, error.param)
    if isinstance(error, errors.InvalidRequest):
        return refusal(error.code, str(error), error.param)
    if isinstance(error, OverBudget):
        return refusal("overloaded", str(error), retry_after_seconds=RETRY_SECONDS)
    if isinstance(error, errors.RateLimited):
        # Exactly when the limit allows more, which may be hours: an earlier attempt would be refused again.
        seconds = max(1, math.ceil(error.retry_after))
        return refusal("rate_limited", str(error), error.param, extra_headers=((b"retry-after", b"%d" % seconds),))
    if not isinstance(error, GatewayError):
        log.error("an unexpected error", exc_info=error)
        return refusal("internal", "an unexpected error; the gateway's log has more under this X-Request-Id")
    code = CODES.get(type(error))
    if code is None:
        log.error("an error without a code", exc_info=error)
        code = "internal"
    if isinstance(error, errors.StorageError):
        log.error("storage", extra={"error": errors.for_log(error)})
    elif error.detail != str(error):
        log.warning("a server could not be asked", extra={"error": error.detail})
    param = _PARAMS.get(type(error)) or getattr(error, "param", None)
    wait = getattr(error, "retry_after", _WAIT_SECONDS) if STATUS[code] in (429, 503) else None
    challenge = (_challenge(error),) if isinstance(error, errors.Unauthorized) else ()
    return refusal(code, str(error), param, wait, challenge)


def _challenge(error: errors.Unauthorized) -> tuple[bytes, bytes]:
    """Return the header that a 401 must have (RFC 9110, section 15.5.2; RFC 6750, section 3)."""
    if not error.description:
        return b"www-authenticate", b"Bearer"
    value = f'Bearer error="invalid_token", error_description="{error.description}"'
    return b"www-authenticate", value.encode("ascii")
