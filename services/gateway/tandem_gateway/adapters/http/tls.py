"""Certificates for connections to embedders, and their renewal without a restart.

A transport asks for the context of each new connection. If the last check is a few seconds old, a thread looks at the
files and loads those that have changed. Open connections keep the certificates with which they began.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tandem_runtime.tls_files import InvalidTlsFiles, Stamp, expiry_of, load_pair, require_certificates, stamp_of

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 5.0
"""Seconds between two looks at the files."""

# Longest wait of a new connection for a look at the files. After that it uses the certificates at hand.
_WAIT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of the client's side of TLS."""

    ca: Path | None = None
    """Certificates of the CAs that sign the servers' certificates; None: the CAs that the system trusts."""
    certificate: Path | None = None
    """The client's certificate, then those of intermediate CAs, for servers that demand one."""
    key: Path | None = None
    """Private key of the certificate, without a passphrase; given if there is a certificate."""

    def paths(self) -> list[Path]:
        """Return the files that are given."""
        return [path for path in (self.ca, self.certificate, self.key) if path is not None]


def load(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that checks servers' certificates and names, and has the client's certificate; blocks.

    Raises:
        InvalidTlsFiles: names the file and the reason.
    """
    if files.ca is not None:
        require_certificates(files.ca)
    context = ssl.create_default_context(cafile=files.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate is not None and files.key is not None:
        load_pair(context, files.certificate, files.key)
    return context


class Tls:
    """The context for new connections; loads the files again after they have changed."""

    def __init__(
        self,
        files: TlsFiles | None = None,
        *,
        seconds: float = CHECK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the files; blocks.

        Args:
            files: certificates and key; by default the system's CAs and no certificate.
            seconds: time between two looks at the files.
            clock: monotonic clock, in seconds.

        Raises:
            InvalidTlsFiles: names the file and the reason.
        """
        self._files = files or TlsFiles()
        self._seconds = seconds
        self._clock = clock
        self._checked = clock()
        # Look before reading: a change in between shows at the next look.
        self._loaded = stamp_of(self._files.paths())
        self._context = load(self._files)
        self._on_expiry: Callable[[float], None] = lambda at: None
        self._failed: tuple[Stamp | None, str] | None = None
        self._check: asyncio.Task[None] | None = None

    def watch(self, on_expiry: Callable[[float], None]) -> None:
        """Report when the client's certificate expires, in seconds since 1970, now and after each renewal. Blocks.

        Raises:
            InvalidTlsFiles: the certificate cannot be read.
        """
        self._on_expiry = on_expiry
        self._report()

    def _report(self) -> None:
        if self._files.certificate is not None:
            self._on_expiry(expiry_of(self._files.certificate))

    async def context(self) -> ssl.SSLContext:
        """Return the context for a new connection; waits at most a second if a look at the files is due."""
        now = self._clock()
        checking = self._check is not None and not self._check.done()
        if self._files.paths() and not checking and now - self._checked >= self._seconds:
            self._checked = now
            # A look may hang with its file system. It then occupies one thread, and connections use the old context.
            self._check = asyncio.ensure_future(asyncio.to_thread(self.renew))
            await asyncio.wait({self._check}, timeout=_WAIT_SECONDS)
        return self._context

    def renew(self) -> None:
        """Load the files if they have changed; keep the old certificates if they cannot be loaded. Blocks."""
        found: Stamp | None = None
        try:
            found = stamp_of(self._files.paths())
            if found == self._loaded:
                self._failed = None
                return
            self._context = load(self._files)
            self._report()
        except (InvalidTlsFiles, OSError) as error:
            # A certificate and its key may be replaced one after the other. Between the two they do not fit, and the
            # next look finds them both.
            if self._failed != (found, str(error)):
                self._failed = (found, str(error))
                about = {"file": str(getattr(error, "path", "")), "error": str(error)}
                log.warning("a changed TLS file cannot be used; the previous certificates stay", extra=about)
            return
        self._loaded, self._failed = found, None
        log.info("TLS files renewed", extra={"files": [str(path) for path in self._files.paths()]})
