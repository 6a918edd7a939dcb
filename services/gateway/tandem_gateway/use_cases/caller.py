"""The caller for whom the current task works, for use cases that share their resources among callers."""

from contextvars import ContextVar
from typing import Protocol


class Caller(Protocol):
    """A caller; ``id`` tells it apart from others."""

    @property
    def id(self) -> str:
        """The caller's id."""
        ...

    def spent(self, tokens: int) -> None:
        """Count tokens that a model read for the caller."""
        ...


current: ContextVar[Caller | None] = ContextVar("tandem.caller", default=None)
"""The caller of the request; None while access control is off, and in background tasks."""
