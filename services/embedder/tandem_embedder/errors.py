"""What can go wrong with a request, told by what the caller can do about it; knows no HTTP.

::

    EmbedderError
    ├── InvalidText        the text itself cannot be embedded: change it
    ├── LimitExceeded      a limit of this embedder: send less
    ├── InvalidDeadline    the caller's deadline cannot be read
    ├── Overloaded         too much is queued: the same request later (``retry_after_seconds``)
    ├── DeadlineExceeded   the caller's time is up; the model never saw what was still queued
    ├── NotReady           no model: not yet, never (damaged), no more (worker dead) or draining; try another replica
    └── ModelError         the model failed on a batch; its other waiters were told the same

A fault that is none of these is a defect, and is reported as one.
"""


class EmbedderError(Exception):
    """A request that was not served.

    Attributes:
        message: for a person; names the field and the limit.
        param: path of the field, such as ``texts[3]``; None where it is no field.
        retry_after_seconds: when the same request may succeed; None where waiting does not help.
    """

    def __init__(self, message: str, *, param: str | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds


class InvalidText(EmbedderError):
    """A text that has nothing to embed, or holds a character that no tokenizer keeps."""


class LimitExceeded(EmbedderError):
    """More texts, characters or tokens than this embedder takes in one request."""


class InvalidDeadline(EmbedderError):
    """The time that the caller gives is no whole number of milliseconds."""


class Overloaded(EmbedderError):
    """Too many tokens are queued already; ``retry_after_seconds`` comes from the measured drain rate."""


class DeadlineExceeded(EmbedderError):
    """The request's time is up; what was queued of it is dropped."""


class NotReady(EmbedderError):
    """There is no model to ask; the message says why."""


class ModelError(EmbedderError):
    """The model raised, or returned what cannot be vectors."""
