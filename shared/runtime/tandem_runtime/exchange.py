"""A direct path between a handler and the server, beside ASGI's messages, for requests that arrive in one piece.

With ASGI, a handler awaits the body's messages under a timeout and sends a response as two messages, which the server
writes one by one. It needs a task to notice a disconnect. Most requests here are a few hundred bytes in one piece, and
their responses a few thousand bytes. For such small requests, the message passing costs as much as the rest of the HTTP
work. A server may therefore put an ``Exchange`` into the scope. With any other server, handlers use ASGI's messages.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Scope

EXCHANGE: Final = "tandem.exchange"
"""Scope key of the exchange."""


class Exchange(Protocol):
    """One request and its response."""

    status: int | None
    """Status of the response that ``respond`` wrote; None before that."""

    def content_length(self) -> int | None:
        """Return the body's length in bytes from the request's head; None if the head does not declare it."""
        ...

    def complete_body(self) -> bytes | None:
        """Return the body if all of it has arrived and no part was received; if None, use ``receive``."""
        ...

    def respond(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, lease: Lease | None = None
    ) -> bool:
        """Send a whole response and return True; if False, the caller has to send it by ASGI's messages.

        Args:
            status: three digits.
            headers: must include content-length; names are in lower case.
            body: the whole body.
            lease: of the body's memory; held until the client has taken the body or disconnected.
        """
        ...

    def keep(self, lease: Lease) -> None:
        """Hold the lease of a response that was just sent by ASGI's messages, as ``respond`` would."""
        ...

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Set a callback for one call if the client disconnects before the response; call it now if it already has."""
        ...


def exchange_of(scope: Scope) -> Exchange | None:
    """Return the request's exchange; None if the server offers none."""
    return cast("Exchange | None", scope.get(EXCHANGE))
