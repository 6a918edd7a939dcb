"""Flow control and the end of a connection. A client that does not read loses its connection.

uvicorn pauses a handler while the client reads slowly, but it never gives up on a client. It also closes a connection
right after the last response. If the client still sends, the kernel then resets the connection, and the client may lose
the response. RFC 9112, section 9.6, therefore asks a server to close in two steps.
"""

import asyncio
import logging
from typing import Final

from tandem_runtime.memory import Lease
from tandem_runtime.serving.read_rate import ReadRate, slow

log = logging.getLogger(__name__)

LINGER_BYTES: Final = 256 << 20
"""Maximum number of bytes that a connection reads and drops, after its last request and after its last response."""
_CHECK_SECONDS: Final = 5.0


class ConnectionFlow:
    """Flow control of one connection; owned by the event loop."""

    rate = ReadRate()
    """The connection is aborted if its client reads more slowly."""
    linger_seconds = 5.0
    """Seconds for which the connection reads and drops input after its last response, if the client still sends."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._leases: list[Lease] = []
        self._write_paused = False
        self._read_paused = False
        self._unsent = 0
        self._taken = 0
        self._full_at = 0.0
        self._progress_at = 0.0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._dropped = 0
        self.ended = False
        """Whether the last response was written."""

    def read(self, wanted: bool) -> None:
        """Resume or pause reading. After the last response, reading never pauses.

        Before it, reading stays paused once ``drop`` has counted too many bytes: the open responses must not be lost.
        """
        paused = not ((wanted and self._dropped <= LINGER_BYTES) or self.ended)
        if paused != self._read_paused and not self._transport.is_closing():
            self._read_paused = paused
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Record that the write buffer is full, and start to check that the client reads."""
        self._write_paused = True
        self._watch()

    def resume_writing(self) -> None:
        """Release the leases: the write buffer has drained, or the connection is lost."""
        self._write_paused = False
        self._leases.clear()
        if self._stall_timer is not None and not self.ended:
            self._stall_timer.cancel()
            self._stall_timer = None

    def keep(self, lease: Lease) -> None:
        """Hold the lease of a written response until the write buffer has drained."""
        if self._write_paused:
            self._leases.append(lease)

    def has_unsent(self) -> bool:
        """Return whether a part of what was written waits for the client to read."""
        return self._transport.get_write_buffer_size() > 0

    def close(self) -> None:
        """Close the connection once the write buffer is empty."""
        self.ended = True
        if self.has_unsent():
            self._watch()
        self._transport.close()

    def linger(self) -> None:
        """Close for sending, drop what the client still sends, then close."""
        if self._transport.is_closing():
            return
        self.ended = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.read(True)
        self._linger_timer = self._loop.call_later(self.linger_seconds, self.close)

    def drop(self, bytes: int) -> None:
        """Count bytes that are dropped. After too many close the connection, or pause reading if responses are open."""
        self._dropped += bytes
        if self._dropped > LINGER_BYTES:
            if self.ended:
                self.close()
            else:
                self.read(False)

    def lost(self) -> None:
        """Cancel the timers: the connection is lost."""
        self.resume_writing()
        for timer in (self._stall_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()

    def _watch(self) -> None:
        if self._stall_timer is None:
            self._unsent = self._transport.get_write_buffer_size()
            self._taken = 0
            self._full_at = self._progress_at = self._loop.time()
            self._check_later()

    def _check_later(self) -> None:
        self._stall_timer = self._loop.call_later(min(_CHECK_SECONDS, self.rate.stall_seconds), self._check)

    def _check(self) -> None:
        self._stall_timer = None
        now, unsent = self._loop.time(), self._transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._taken += self._unsent - unsent
            self._progress_at = now
        self._unsent = unsent  # more than before if another response was added
        reason = slow(
            self.rate, elapsed=now - self._full_at, idle=now - self._progress_at, taken=self._taken, unsent=unsent
        )
        if reason is not None:
            log.warning(
                "aborted a connection whose client reads too slowly", extra={"reason": reason, "unsent_bytes": unsent}
            )
            self._transport.abort()
        elif unsent:
            self._check_later()
