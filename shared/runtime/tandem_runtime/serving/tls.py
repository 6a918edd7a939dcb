"""TLS between a socket and a ``Connection``: the handshake, and the decryption of what arrives."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from tandem_runtime.serving.handshakes import NO_TLS, Handshakes, reason_of
from tandem_runtime.serving.refusal import Refusal
from tandem_runtime.serving.tls_transport import TlsTransport

_RECORD_BYTES: Final = 16 << 10
_HANDSHAKE: Final = 0x16
"""First byte of every connection with TLS: the type of its first record."""
_MAX_UNASKED_BYTES: Final = 64 << 10
"""Maximum number of bytes that a client can make TLS itself send after the handshake, for example by key updates."""


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
        self._transport = TlsTransport(self._raw, self._object, outgoing, self._loop)
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
        self._transport.lost()
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Stop to encrypt: the socket's buffer is full."""
        self._transport.socket_is_full(True)

    def resume_writing(self) -> None:
        """Go on to encrypt: the socket's buffer has drained."""
        self._transport.socket_is_full(False)

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
        self._inner = self._transport.connection = self._make()
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
