"""What the wrappers of the use cases learn about a request, for its line in the audit log.

A task that serves a request inherits the request's trail. Without an audit log there is none, and notes cost a lookup.
"""

from contextvars import ContextVar
from typing import Any


class Trail:
    """What is known about one request.

    Attributes:
        action: what was asked for, if it is not the operation of the route.
        by: who asked, if it is not the holder of a key.
        collection: the collection that was asked for last.
        job_id: the job that was made or changed.
        key_id: the API key that was made or changed.
        documents: number of documents that were stored, changed or deleted.
        code: code of an error that the status of the reply does not show.
    """

    __slots__ = ("action", "by", "code", "collection", "documents", "job_id", "key_id")

    def __init__(self) -> None:
        self.action: str | None = None
        self.by: str | None = None
        self.collection: str | None = None
        self.job_id: str | None = None
        self.key_id: str | None = None
        self.documents: int | None = None
        self.code: str | None = None


current: ContextVar[Trail | None] = ContextVar("tandem_audit_trail", default=None)
"""The trail of the running task's request; None outside a request and without an audit log."""


def note(**known: Any) -> None:
    """Note attributes of ``Trail``."""
    trail = current.get()
    if trail is not None:
        for name, value in known.items():
            setattr(trail, name, value)
