"""The only table from the embedder's errors to the contract's error codes."""

from typing import Final

from tandem_contract.decoding import InvalidMessage
from tandem_contract.errors import ErrorCode
from tandem_embedder import errors
from tandem_runtime.http import Reply, refusal
from tandem_runtime.memory import RETRY_SECONDS, OverBudget

CODES: Final[dict[type[errors.EmbedderError], ErrorCode]] = {
    errors.InvalidText: "invalid_field",
    errors.InvalidChunking: "invalid_field",
    errors.LimitExceeded: "limit_exceeded",
    errors.InvalidDeadline: "invalid_field",
    errors.Overloaded: "overloaded",
    errors.DeadlineExceeded: "deadline_exceeded",
    errors.NotReady: "not_ready",
    errors.ModelError: "internal",
}


def of_error(error: Exception) -> Reply | None:
    """Return the reply to an expected error; None if the error is a defect."""
    if isinstance(error, InvalidMessage):
        return refusal(error.code, error.message, error.param)
    if isinstance(error, OverBudget):
        return refusal("overloaded", str(error), retry_after_seconds=RETRY_SECONDS)
    if isinstance(error, errors.EmbedderError):
        return refusal(CODES[type(error)], error.message, error.param, error.retry_after_seconds)
    return None


def internal() -> Reply:
    """Return the reply to a defect. The log has the cause, under the request's id."""
    return refusal("internal", "the embedder failed on this request; its log has the reason under the request id")
