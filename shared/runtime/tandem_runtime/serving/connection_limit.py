"""The limit on the open connections of a service, and the response to a connection over it."""

import logging
import time
from typing import Final, Protocol

from tandem_runtime.request_id import choose_request_id
from tandem_runtime.serving.flow import ConnectionFlow
from tandem_runtime.serving.refusal import Refusal

log = logging.getLogger(__name__)

_LOG_SECONDS: Final = 10.0
_MAX_LINGERING: Final = 128


class Idle(Protocol):
    """A connection that may be idle."""

    flow: ConnectionFlow


class ConnectionLimit:
    """Limits the open connections of a service.

    A connection over the limit replaces an idle one, so that clients with kept connections cannot lock out a probe. If
    no connection is idle, the service answers 503 and closes the new one.
    """

    def __init__(self, limit: int, setting: str) -> None:
        """Make the limit.

        Args:
            limit: maximum number of connections.
            setting: name of the variable that sets the limit, for messages.
        """
        self.limit = limit
        self._refusal = Refusal(503, "overloaded", f"more than {limit} connections are open ({setting}); retry later")
        self.idle: dict[Idle, None] = {}
        """Connections without a request, the longest idle first. At the limit, the first with no unread answer ends."""
        self.lingering = 0
        """Connections over the limit that stay open until their client has sent its request."""
        self._refused = 0
        self._logged_at = float("-inf")

    def has_room(self, connections: int) -> bool:
        """Return whether there is room for one more connection than these; close an idle one to make room."""
        if connections < self.limit:
            return True
        # One with an unread answer stays open until its client has read it, so it would make no room.
        longest = next((each for each in self.idle if not each.flow.has_unsent()), None)
        if longest is None:
            return False
        del self.idle[longest]
        longest.flow.close()
        return True

    def may_linger(self) -> bool:
        """Return whether one more connection may linger, and count it.

        Without lingering, a client that still sends gets a reset and may lose the response.
        """
        if self.lingering >= _MAX_LINGERING:
            return False
        self.lingering += 1
        return True

    def response(self) -> bytes:
        """Return the response to a connection over the limit; log the count of refusals at most every 10 s."""
        self._refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            log.warning("refused connections", extra={"refused": self._refused, "limit": self.limit})
            self._logged_at, self._refused = now, 0
        return self._refusal.encoded(choose_request_id(None))
