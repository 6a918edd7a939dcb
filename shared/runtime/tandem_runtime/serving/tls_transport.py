"""The write side of a connection with TLS.

asyncio's own TLS hides how much a client has not read: it reports the bytes that wait for encryption, and not those
that wait for the socket. Responses would leave the memory budget too early, and a client that reads nothing would not
be noticed. This transport counts both. So everything that bounds a plain connection bounds one with TLS.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final

_RECORD_BYTES: Final = 16 << 10
_WRITE_BYTES: Final = 256 << 10
_PIECE_BYTES: Final = 1 << 20
"""Maximum number of bytes that are encrypted without a pause for other connections; takes a few milliseconds."""


class TlsTransport(asyncio.Transport):
    """The transport of a ``Connection``: encrypts what it writes, in pieces, so that no write holds the event loop."""

    def __init__(
        self, raw: asyncio.Transport, object: ssl.SSLObject, outgoing: ssl.MemoryBIO, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._raw = raw
        self._object = object
        self._outgoing = outgoing
        self._loop = loop
        self._queue: deque[memoryview] = deque()  # written and not encrypted yet
        self._queued = 0
        self._soon = False  # whether the event loop will encrypt the next piece
        self._full = False  # whether the socket's buffer is full
        self._paused = False  # whether the connection was told to wait
        self._then: Callable[[], None] | None = None  # how to close, once the queue is empty
        self._closes = False  # whether ``close`` was called
        self.shut = False
        """Whether TLS's close was sent: nothing can be written any more."""
        self.connection: asyncio.Protocol | None = None
        """Learns when to wait and when to go on; set after the handshake."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the socket's transport knows, or TLS's context or object."""
        if name == "sslcontext":
            return self._object.context
        return self._object if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; keep what the socket does not take yet."""
        if not data or self.shut or self.is_closing() or self._then is not None:
            return
        self._queue.append(memoryview(data if isinstance(data, bytes) else bytes(data)))
        self._queued += len(data)
        if not self._soon and not self._full:
            self._encrypt()
        self._tell()

    def flush(self) -> int:
        """Send what is encrypted; return its number of bytes."""
        count = self._outgoing.pending
        if count:
            self._raw.write(self._outgoing.read())
        return count

    def close(self) -> None:
        """Send what was written and TLS's close, then close the socket."""
        self._closes = True
        if self._queue:
            self._raw.pause_reading()  # as a plain transport does: its connection waits for nothing more
        self._finish(self._raw.close)

    def write_eof(self) -> None:
        """Send what was written and TLS's close, then close the socket for sending."""
        self._finish(self._raw.write_eof)

    def can_write_eof(self) -> bool:
        """Return whether the socket can close for sending alone."""
        return self._raw.can_write_eof()

    def abort(self) -> None:
        """Close at once."""
        self._drop()
        self._raw.abort()

    def is_closing(self) -> bool:
        """Return whether the socket closes, or will once everything is sent."""
        return self._closes or self._raw.is_closing()

    def is_reading(self) -> bool:
        """Return whether the socket is read."""
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        """Stop reading the socket."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read the socket again."""
        self._raw.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that the client has not taken, encrypted or not."""
        return self._queued + self._raw.get_write_buffer_size()

    # Called by TlsConnection.

    def socket_is_full(self, full: bool) -> None:
        """Stop to encrypt, or go on."""
        self._full = full
        if not full and not self._soon:
            self._encrypt()
        self._tell()

    def lost(self) -> None:
        """Release everything: the connection is lost."""
        self._drop()
        self.connection = None

    # Helpers.

    def _encrypt(self) -> None:
        """Encrypt and send the next piece; leave the rest to the event loop, or to ``socket_is_full``."""
        self._soon = False
        rest = _PIECE_BYTES
        try:
            while self._queue and rest > 0 and not self._full:
                first = self._queue[0]
                count = self._object.write(first[:_RECORD_BYTES])
                self._queued -= count
                rest -= count
                if count == len(first):
                    self._queue.popleft()
                else:
                    self._queue[0] = first[count:]
                if self._outgoing.pending >= _WRITE_BYTES:
                    self.flush()  # may fill the socket's buffer
        except ssl.SSLError:
            self.abort()  # an earlier error has ended TLS
            return
        self.flush()
        if not self._queue:
            if self._then is not None:
                self._end()
        elif not self._full:
            self._soon = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._soon:
            self._encrypt()
            self._tell()

    def _tell(self) -> None:
        """Tell the connection to wait, or to go on."""
        wanted = self._full or bool(self._queue)
        if wanted == self._paused or self.connection is None:
            return
        self._paused = wanted
        if wanted:
            self.connection.pause_writing()
        else:
            self.connection.resume_writing()

    def _finish(self, then: Callable[[], None]) -> None:
        if self._raw.is_closing():
            return
        self._then = then
        if not self._queue:
            self._end()

    def _end(self) -> None:
        assert self._then is not None
        if not self.shut:
            self.shut = True
            with contextlib.suppress(ssl.SSLError):  # it sends the close, and would then wait for the client's
                self._object.unwrap()
            self.flush()
        self._then()

    def _drop(self) -> None:
        self._queue.clear()
        self._queued = 0
        self._soon = False
