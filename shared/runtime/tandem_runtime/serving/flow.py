"""How bytes leave a connection and how the connection ends: nothing is held for a client that does not take it.

uvicorn pauses a handler while the client reads slowly, but waits for a client that has stopped reading for ever. And it
closes a connection at once after its last response: while the client still sends, the kernel then resets the
connection, and the client may lose the response. RFC 9112, section 9.6, therefore asks a server to close in two steps.
"""

import asyncio
import logging
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

from tandem_runtime.memory import Lease

log = logging.getLogger(__name__)

LINGER_BYTES: Final = 256 << 20
"""Most bytes that a connection reads and drops after its last response."""


class ConnectionFlow(FlowControl):
    """Flow control of one connection; owned by the event loop."""

    stall_seconds = 30.0
    """The connection is aborted if its client takes no byte of the write buffer for so long."""
    linger_seconds = 5.0
    """How long the connection reads and drops after its last response, for a client that is still sending."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self._leases: list[Lease] = []
        self._unsent = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._dropped = 0
        self.hold_reading = False
        """Whether ``resume_reading`` is without effect for now."""
        self.ended = False
        """Whether the last response was written; what still comes is for ``drop``."""

    def resume_reading(self) -> None:
        """Read again, unless reading is on hold."""
        if not self.hold_reading:
            super().resume_reading()

    def pause_writing(self) -> None:
        """Note that the write buffer is full, and watch that it drains."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Note that the write buffer has drained, or that the connection is lost; gives the leases back."""
        self._leases.clear()
        if self._stall_timer is not None and not self.ended:
            self._stall_timer.cancel()
            self._stall_timer = None
        super().resume_writing()

    def keep(self, lease: Lease) -> None:
        """Hold the lease of a response that was just written until the write buffer has drained."""
        if self.write_paused:
            self._leases.append(lease)

    def close(self) -> None:
        """Close the connection once the write buffer is empty."""
        self.ended = True
        if self._transport.get_write_buffer_size():
            self._watch()
        self._transport.close()

    def linger(self) -> None:
        """Close for sending, drop what the client still sends, then close."""
        if self._transport.is_closing():
            return
        self.ended = True
        self._transport.write_eof()
        self.hold_reading = False
        self.resume_reading()
        self._linger_timer = self._loop.call_later(self.linger_seconds, self.close)

    def drop(self, bytes: int) -> None:
        """Take note of bytes that came after the last response."""
        self._dropped += bytes
        if self._dropped > LINGER_BYTES:
            self.close()

    def lost(self) -> None:
        """End the timers; the connection is lost."""
        self.resume_writing()
        for timer in (self._stall_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()

    def _watch(self) -> None:
        if self._stall_timer is None:
            self._unsent = self._transport.get_write_buffer_size()
            self._stall_timer = self._loop.call_later(self.stall_seconds, self._check)

    def _check(self) -> None:
        self._stall_timer = None
        unsent = self._transport.get_write_buffer_size()
        if unsent == 0:
            return
        if unsent < self._unsent:
            self._watch()
        else:
            log.warning("aborted a connection whose client stopped reading", extra={"unsent_bytes": unsent})
            self._transport.abort()
