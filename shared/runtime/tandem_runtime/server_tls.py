"""The certificate of a server: settings, checks, and renewal without a restart.

Each new connection takes the context in force. Open connections keep the certificate with which they began. A changed
pair that cannot be used leaves the old one in force.
"""

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tandem_runtime.settings import SettingsError
from tandem_runtime.tls_files import InvalidTlsFiles, Stamp, expiry_of, load_pair, require_certificates, stamp_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerTlsFiles:
    """PEM files of the server's side of TLS."""

    certificate: Path
    """The server's certificate, then those of intermediate CAs."""
    key: Path
    """Private key of the certificate, without a passphrase."""
    client_ca: Path | None = None
    """Certificates of the CAs that sign the clients' certificates; None: clients need no certificate."""

    def paths(self) -> list[Path]:
        """Return the files that are given."""
        return [path for path in (self.certificate, self.key, self.client_ca) if path is not None]


@dataclass(frozen=True, slots=True)
class TlsEvents:
    """Callbacks for metrics, called from any thread."""

    expires: Callable[[float], None] = lambda at: None
    """The certificate in force expires then; seconds since 1970."""
    reloaded: Callable[[str], None] = lambda result: None
    """``renewed`` or ``failed``; a pair that stays unusable counts once."""
    handshake_failed: Callable[[str], None] = lambda reason: None


class ServerTls:
    """The context for new connections."""

    def __init__(self, files: ServerTlsFiles) -> None:
        """Load the files; blocks.

        Args:
            files: certificate, key and client CA.

        Raises:
            InvalidTlsFiles: names the file and the reason.
        """
        self._files = files
        self.events = TlsEvents()
        self.expires = 0.0
        """When the certificate in force expires; seconds since 1970."""
        # Look before reading: a change in between shows at the next look.
        self._loaded = stamp_of(files.paths())
        self.context = self._load()
        self._failed: tuple[Stamp | None, str] | None = None

    def watch(self, events: TlsEvents) -> None:
        """Report to these callbacks from now on."""
        self.events = events
        events.expires(self.expires)

    def renew(self) -> None:
        """Load the files if they have changed; keep the old certificate if they cannot be loaded. Blocks."""
        found: Stamp | None = None
        try:
            found = stamp_of(self._files.paths())
            if found == self._loaded:
                self._failed = None
                return
            # A new context: a failed load would leave the old one without a key, and clients' CAs could not be removed.
            self.context = self._load()
        except (InvalidTlsFiles, OSError) as error:
            if self._failed != (found, str(error)):
                self._failed = (found, str(error))
                self.events.reloaded("failed")
                about = {"file": str(getattr(error, "path", "")), "error": str(error)}
                log.warning("a changed TLS file cannot be used; the previous certificate stays", extra=about)
            return
        self._loaded, self._failed = found, None
        self.events.reloaded("renewed")
        log.info("TLS files renewed", extra={"files": [str(path) for path in self._files.paths()]})

    def _load(self) -> ssl.SSLContext:
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        if files.client_ca is not None:
            require_certificates(files.client_ca)
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        load_pair(context, files.certificate, files.key)
        self.expires = expires = expiry_of(files.certificate)
        if expires <= time.time():
            about = {"file": str(files.certificate), "expired": round(time.time() - expires)}
            log.error("the TLS certificate has expired: clients will refuse it", extra=about)
        self.events.expires(expires)
        return context


def load_server_tls(certificate: str, key: str, client_ca: str, *, prefix: str) -> ServerTls | None:
    """Return the server's TLS from its settings; None without a certificate. Blocks.

    Args:
        certificate: file of the certificate, or an empty text.
        key: file of its key.
        client_ca: file of the clients' CAs, or an empty text.
        prefix: of the variables, such as ``TANDEM_TLS``.

    Raises:
        SettingsError: names the variable and what is wrong with its file.
    """
    if not certificate:
        return None
    files = ServerTlsFiles(Path(certificate), Path(key), Path(client_ca) if client_ca else None)
    variables = {files.certificate: "CERT_FILE", files.key: "KEY_FILE", files.client_ca: "CLIENT_CA_FILE"}
    try:
        return ServerTls(files)
    except InvalidTlsFiles as error:
        raise SettingsError(f"{prefix}_{variables[error.path]}={str(error.path)!r}: {error}") from error


def check_server_tls(certificate: str, key: str, client_ca: str, *, prefix: str) -> None:
    """Check the rules between the three settings.

    Raises:
        ValueError: names the variables and the rule.
    """
    if bool(certificate) != bool(key):
        raise ValueError(f"{prefix}_CERT_FILE and {prefix}_KEY_FILE need each other: set both or none")
    if client_ca and not certificate:
        raise ValueError(f"{prefix}_CLIENT_CA_FILE needs {prefix}_CERT_FILE")
