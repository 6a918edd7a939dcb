"""TLS between a socket and a ``Connection``.

asyncio's own TLS hides how much a client has not read: it reports the bytes that wait for encryption, and not those
that wait for the socket. Responses would leave the memory budget too early, and a client that reads nothing would not
be noticed. This layer encrypts a write at once. So the socket's buffer is the only one, and everything that bounds a
plain connection bounds one with TLS.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

from tandem_runtime.serving.handshakes import NO_TLS, Handshakes, reason_of
from tandem_runtime.serving.refusal import Refusal

_RECORD_BYTES: Final = 16 << 10
_WRITE_BYTES: Final = 256 << 10
_HANDSHAKE: Final = 0x16
"""First byte of every connection with TLS: the type of its first record."""
_MAX_UNASKED_BYTES: Final = 64 << 10
"""Maximum number of bytes that a client can make TLS itself send after the handshake, for example by key updates."""


class TlsTransport(asyncio.Transport):
    """The transport of a ``Connection``: encrypts what it writes."""

    def __init__(self, raw: asyncio.Transport, object: ssl.SSLObject, outgoing: ssl.MemoryBIO) -> None:
        super().__init__()
        self._raw = raw
        self._object = object
        self._outgoing = outgoing
        self.shut = False
        """Whether TLS's close was sent: nothing can be written any more."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the socket's transport knows, or TLS's context or object."""
        if name == "sslcontext":
            return self._object.context
        return self._object if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self.shut or self._raw.is_closing():
            return
        view, sent = memoryview(data), 0
        try:
            while sent < len(view):
                sent += self._object.write(view[sent : sent + _RECORD_BYTES])
                if self._outgoing.pending >= _WRITE_BYTES:
                    self.flush()
        except ssl.SSLError:
            self._raw.abort()  # an earlier error has ended TLS
            return
        self.flush()

    def flush(self) -> int:
        """Send what is encrypted; return its number of bytes."""
        count = self._outgoing.pending
        if count:
            self._raw.write(self._outgoing.read())
        return count

    def close(self) -> None:
        """Send TLS's close, and close the socket once its buffer is empty."""
        self._shut()
        self._raw.close()

    def write_eof(self) -> None:
        """Send TLS's close, and close the socket for sending."""
        self._shut()
        self._raw.write_eof()

    def _shut(self) -> None:
        if self.shut or self._raw.is_closing():
            return
        self.shut = True
        with contextlib.suppress(ssl.SSLError):  # it sends the close, and would then wait for the client's
            self._object.unwrap()
        self.flush()

    def can_write_eof(self) -> bool:
        """Return whether the socket can close for sending alone."""
        return self._raw.can_write_eof()

    def abort(self) -> None:
        """Close at once."""
        self._raw.abort()

    def is_closing(self) -> bool:
        """Return whether the socket closes."""
        return self._raw.is_closing()

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
        """Return the number of encrypted bytes that the client has not taken."""
        return self._raw.get_write_buffer_size()


class TlsConnection(asyncio.Protocol):
    """Does the handshake, then gives the decrypted input to a ``Connection``."""

    def __init__(
        self, handshakes: Handshakes, make: Callable[[], asyncio.Protocol], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Make the connection.

        Args:
            handshakes: the handshakes of the server.
            make: makes the ``Connection``, once the handshake is complete.
            loop: the running event loop.
        """
        self._handshakes = handshakes
        self._make = make
        self._loop = loop
        self._incoming = ssl.MemoryBIO()
        self._inner: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False  # whether a byte has arrived
        self._ended = False  # whether the client has closed its side
        self._unasked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake and its timer."""
        self._raw = cast(asyncio.Transport, transport)
        outgoing = ssl.MemoryBIO()
        self._object = self._handshakes.tls.context.wrap_bio(self._incoming, outgoing, server_side=True)
        self._transport = TlsTransport(self._raw, self._object, outgoing)
        self._timer = self._loop.call_later(self._handshakes.seconds, self._is_late)
        self._handshakes.begin(self)

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, or decrypt."""
        if self._transport.shut and self._inner is not None:
            if not self._raw.is_closing():
                self._inner.data_received(data)  # it only counts and drops what comes after its last response
            return
        if not self._begun:
            self._begun = True
            if data[0] != _HANDSHAKE:
                self._refuse_plain_http()
                return
        if self._raw.is_closing():
            return
        self._incoming.write(data)
        if self._inner is None and not self._shake_hands():
            return
        self._decrypt()

    def eof_received(self) -> bool | None:
        """Tell the connection that the client has closed its side; return whether it has something to send."""
        if self._inner is None:
            if self._begun and not self._raw.is_closing():  # a probe of the port alone is no failure
                self._handshakes.failed("closed", "the client closed the connection; it may refuse the certificate")
            return False
        if self._ended:
            return True
        self._ended = True
        stays = self._inner.eof_received()
        if not stays:
            self._transport.close()
        return stays

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything."""
        self._handshake_ends()
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the connection that the socket's buffer is full."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Tell the connection that the socket's buffer has drained."""
        if self._inner is not None:
            self._inner.resume_writing()

    def give_up(self) -> None:
        """Close the connection at once."""
        self._handshake_ends()
        self._raw.abort()

    # Helpers.

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is complete."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._transport.flush()
            return False
        except ssl.SSLError as error:
            self._handshakes.failed(*reason_of(error))
            self._transport.flush()  # the alert
            self._handshake_ends()
            self._raw.close()
            return False
        self._transport.flush()
        self._handshake_ends()
        self._inner = self._make()
        self._inner.connection_made(self._transport)
        return True

    def _decrypt(self) -> None:
        parts, closed = [], False
        try:
            while not closed:
                part = self._object.read(_RECORD_BYTES)
                parts.append(part)
                closed = not part
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            closed = True
        except ssl.SSLError as error:
            self._handshakes.failed(*reason_of(error))
            self._transport.flush()  # the alert
            self._raw.abort()
            return
        self._unasked += self._transport.flush()
        if self._unasked > _MAX_UNASKED_BYTES:
            self._raw.abort()
            return
        data = b"".join(parts)
        if data and self._inner is not None:
            self._inner.data_received(data)
        if closed and not self._ended and self._inner is not None:
            self._ended = True
            if not self._inner.eof_received():
                self._transport.close()

    def _refuse_plain_http(self) -> None:
        """Answer in plain HTTP, which this client reads; with 403, since only its operator can help."""
        self._handshakes.failed("no_tls", NO_TLS)
        self._handshake_ends()
        self._raw.write(Refusal(403, "forbidden", NO_TLS).response())
        self._raw.close()

    def _is_late(self) -> None:
        self._timer = None
        self._handshakes.failed("timeout", f"the handshake was not complete within {self._handshakes.seconds:g} s")
        self.give_up()

    def _handshake_ends(self) -> None:
        self._handshakes.end(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
