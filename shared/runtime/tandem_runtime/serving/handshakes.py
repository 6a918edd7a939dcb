"""The TLS handshakes in progress: their limits, and what the log says about those that fail.

A connection in its handshake has no request yet, so the limit of connections does not count it. Without a limit of its
own, silent clients could hold every open file.
"""

import logging
import ssl
import time
from typing import Final, Protocol

from tandem_runtime.server_tls import ServerTls

log = logging.getLogger(__name__)

_LOG_SECONDS: Final = 10.0

NO_TLS: Final = "the client speaks no TLS: this port serves https only"

# Reasons of OpenSSL that deserve a name of their own, in the log and in metrics.
_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": ("no_certificate", "the client has no certificate, and this port demands one"),
    "UNSUPPORTED_PROTOCOL": ("version", "the client offers no TLS version from 1.2 on"),
    "VERSION_TOO_LOW": ("version", "the client offers no TLS version from 1.2 on"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": ("refused", "the client says that this server's certificate has expired"),
    "TLSV1_ALERT_UNKNOWN_CA": ("refused", "the client does not trust the CA of this server's certificate"),
}


class Pending(Protocol):
    """A connection in its handshake."""

    def give_up(self) -> None:
        """Close the connection at once."""


class Handshakes:
    """Limits the handshakes of a server, and counts and logs those that fail; owned by the event loop."""

    seconds = 10.0
    """Seconds for a handshake."""
    most = 128
    """Maximum number of handshakes in progress. A new one replaces the one that has lasted longest."""

    def __init__(self, tls: ServerTls) -> None:
        """Make it; ``tls`` has the context of new connections."""
        self.tls = tls
        self._pending: dict[Pending, None] = {}
        self._logged_at: dict[str, float] = {}

    def begin(self, connection: Pending) -> None:
        """Count a handshake; end the oldest one if there are too many."""
        if len(self._pending) >= self.most:
            oldest = next(iter(self._pending))
            self.failed("crowded_out", f"more than {self.most} handshakes are in progress")
            oldest.give_up()
            self._pending.pop(oldest, None)
        self._pending[connection] = None

    def end(self, connection: Pending) -> None:
        """Forget a handshake that is complete or has failed."""
        self._pending.pop(connection, None)

    def give_up(self) -> None:
        """End all handshakes: the server stops."""
        for connection in list(self._pending):
            connection.give_up()
        self._pending.clear()

    def failed(self, reason: str, error: str) -> None:
        """Count a failed handshake, and log it, at most every 10 s for each reason."""
        self.tls.events.handshake_failed(reason)
        now = time.monotonic()
        if now - self._logged_at.get(reason, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged_at[reason] = now
            log.warning("a TLS handshake failed", extra={"reason": reason, "error": error})


def reason_of(error: ssl.SSLError) -> tuple[str, str]:
    """Return the reason of a failed handshake, one of a few words, and a message."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate", f"the client's certificate is refused: {error.verify_message or error}"
    return _REASONS.get(error.reason or "", ("other", error.reason or str(error)))
