"""A shorter way than ASGI's messages between a handler and the server, for a request that came whole.

ASGI hands a body over in messages that have to be awaited, under a deadline; a response goes out in two messages, which
a server writes one by one; and to hear that a client has gone takes a task that waits for it. Most requests here are a
few hundred bytes that arrive in one piece and are answered by a few thousand, so that these cost as much as all else
that is done with HTTP. A server may therefore put an ``Exchange`` into the scope; who is not given one does without.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from tandem_contract.service.memory import Lease
from tandem_contract.service.request_id import Scope

EXCHANGE: Final = "tandem.exchange"
"""Key of the scope under which it is found."""


class Exchange(Protocol):
    """One request and its response."""

    status: int | None
    """Of the response that ``respond`` wrote; None while it has not."""

    def content_length(self) -> int | None:
        """Return the body's length in bytes as the request's head tells it; None if it does not."""
        ...

    def complete_body(self) -> bytes | None:
        """Return the body if all of it is there, and nothing of it was received; else None: receive it."""
        ...

    def respond(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, lease: Lease | None = None
    ) -> bool:
        """Send a whole response, and return whether that is done; if not, it is to be sent by ASGI's messages.

        Args:
            status: three digits.
            headers: content-length is among them; names are in lower case.
            body: all of it.
            lease: of the memory that the body takes; held until the client has taken it, or is gone.
        """
        ...

    def keep(self, lease: Lease) -> None:
        """Hold the lease of a response that was just sent by ASGI's messages, as ``respond`` does."""
        ...

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Call this, once, if the client goes before the response was sent; at once if it has gone already."""
        ...


def exchange_of(scope: Scope) -> Exchange | None:
    """Return the request's exchange; None if its server has none."""
    return cast("Exchange | None", scope.get(EXCHANGE))
