"""Errors of a request, grouped by what the caller can do about them. This module knows no HTTP.

::

    EmbedderError
    ├── InvalidText        the text itself cannot be embedded: change it
    ├── InvalidChunking    the texts cannot be split like this with this model: change ``chunking``
    ├── LimitExceeded      the request exceeds a limit of this embedder: send less
    ├── InvalidDeadline    the caller's deadline is malformed
    ├── Overloaded         the queue is full: retry after ``retry_after_seconds``
    ├── DeadlineExceeded   the deadline passed; texts that were still queued never reached the model
    ├── NotReady           no model: loading, damaged, worker dead or draining; try another replica
    └── ModelError         the model failed on a batch; every request in that batch gets this error

Any other exception is a defect, and the embedder reports it as one.
"""


class EmbedderError(Exception):
    """The embedder did not serve a request.

    Attributes:
        message: human-readable; names the field and the limit.
        param: path of the field, such as ``texts[3]``; None if the error is not about a field.
        retry_after_seconds: when to retry the same request; None if waiting does not help.
    """

    def __init__(self, message: str, *, param: str | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds


class InvalidText(EmbedderError):
    """A text is empty or blank, or contains a character that no tokenizer keeps."""


class InvalidChunking(EmbedderError):
    """A field of ``chunking`` is out of its range, which depends on the model."""


class LimitExceeded(EmbedderError):
    """The request has more texts, characters or tokens than this embedder accepts in one request."""


class InvalidDeadline(EmbedderError):
    """The caller's timeout is not a whole number of milliseconds."""


class Overloaded(EmbedderError):
    """The queue is full. ``retry_after_seconds`` comes from the measured drain rate."""


class DeadlineExceeded(EmbedderError):
    """The request's deadline passed. The scheduler drops its queued texts."""


class NotReady(EmbedderError):
    """The embedder has no model to serve; the message says why."""


class ModelError(EmbedderError):
    """The model raised, or returned invalid vectors."""
