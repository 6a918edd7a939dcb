"""A handler's view of its client's connection, in addition to ASGI's messages.

ASGI cannot report whether a body has arrived or when a client has read its response, and it needs a task to notice a
disconnect. A server may therefore put a ``ClientConnection`` into the scope. With any other server, handlers use ASGI's
messages only.
"""

from collections.abc import Callable
from typing import Final, Protocol, cast

from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Scope

CONNECTION: Final = "tandem.connection"
"""Scope key of the connection."""


class ClientConnection(Protocol):
    """The connection of the request that is being served."""

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected."""
        ...

    def body_has_arrived(self) -> bool:
        """Return whether the whole body has arrived, so that ``receive`` need not wait."""
        ...

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Set a callback for one call if the client disconnects before the response; call it now if it already has."""
        ...

    def streams(self) -> None:
        """Note that the response goes on until the client leaves.

        A client that closes its side has then left: TCP cannot tell whether it still reads, and such a response has
        no end to wait for.
        """
        ...

    def keep(self, lease: Lease) -> None:
        """Hold the lease of the response that was just sent until the client has read it or disconnected."""
        ...


def connection_of(scope: Scope) -> ClientConnection | None:
    """Return the request's connection; None if the server offers none."""
    return cast("ClientConnection | None", scope.get(CONNECTION))
