"""Implements the direct path of ``service.exchange`` on uvicorn's request and response."""

from collections.abc import Callable, Sequence
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from tandem_runtime.memory import Lease
from tandem_runtime.serving.flow import ConnectionFlow

_JOINED_BYTES: Final = 1 << 16
"""The transport gets a longer body without a copy, which would double its memory."""


class CycleExchange:
    """Implements ``Exchange``: replaces the ASGI messages of uvicorn's cycle by one step, and updates the cycle."""

    __slots__ = ("_cycle", "_flow", "_on_gone", "status")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        """Make the exchange of a request whose head is complete."""
        # Drop this reference when done: cycle → scope → exchange → cycle is a reference cycle that only the garbage
        # collector frees.
        self._cycle: RequestResponseCycle | None = cycle
        self._flow = cast(ConnectionFlow, cycle.flow)
        self._on_gone: Callable[[], None] | None = None
        self.status: int | None = None

    def content_length(self) -> int | None:
        """Return the body's declared length; see ``Exchange.content_length``."""
        if self._cycle is not None:
            for name, value in self._cycle.scope["headers"]:
                if name == b"content-length":
                    return int(value)
        return None

    def complete_body(self) -> bytes | None:
        """Return the body; see ``Exchange.complete_body``."""
        cycle = self._cycle
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.response_started:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        # The same state as after the last body message: the next receive waits for the disconnect.
        cycle.message_event.clear()
        return body

    def respond(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, lease: Lease | None = None
    ) -> bool:
        """Send a response; see ``Exchange.respond``."""
        cycle = self._cycle
        if cycle is None or cycle.response_started or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        self._cycle = self._on_gone = None
        if cycle.disconnected:
            return True
        cycle.response_started = True
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            if cycle.more_body:  # the client may send or omit the body, so the next head's position is unknown
                cycle.keep_alive = False
        self.status = status
        parts = [STATUS_LINE[status]]
        parts += [b"%s: %s\r\n" % header for header in cycle.default_headers]
        parts += [b"%s: %s\r\n" % header for header in headers]
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if len(body) <= _JOINED_BYTES:
            parts.append(body)
            cycle.transport.write(b"".join(parts))
        else:
            cycle.transport.writelines([b"".join(parts), body])
        if lease is not None:
            self._flow.keep(lease)
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            if cycle.more_body:
                self._flow.linger()
            else:
                self._flow.close()
        cycle.on_response()
        return True

    def keep(self, lease: Lease) -> None:
        """Hold a lease until the response is sent; see ``Exchange.keep``."""
        self._flow.keep(lease)

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Set the callback for a disconnect; see ``Exchange.on_disconnect``."""
        if callback is not None and self._cycle is not None and self._cycle.disconnected:
            callback()
        else:
            self._on_gone = callback

    def lost(self) -> None:
        """Call the callback: the connection is lost."""
        callback, self._on_gone = self._on_gone, None
        if callback is not None:
            callback()
