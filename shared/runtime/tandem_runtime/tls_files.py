"""PEM files of certificates and keys: checks that name the file and the reason. All functions block."""

import re
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_FIRST: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# Tags of DER (X.690): the two kinds of time, and the version field of a certificate (RFC 5280, section 4.1).
_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0
_MAX_BYTES: Final = 1 << 20


class InvalidTlsFiles(Exception):
    """A file cannot be read, is not what it should be, or the key does not belong to the certificate."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of each file; a different stamp means that a file was replaced or written."""


def stamp_of(paths: Iterable[Path]) -> Stamp:
    """Return the state of the files.

    Raises:
        InvalidTlsFiles: a file is missing.
    """
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise InvalidTlsFiles(path, error.strerror or str(error)) from error
        found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Give a context its own certificate and key. A context that could not load them must not be used.

    Raises:
        InvalidTlsFiles: names the file and the reason.
    """
    require_certificates(certificate)
    _require_readable(key)
    try:
        # Without a password here, OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"it is not the key of the certificate in {certificate}"
        else:
            why = "it has no private key in PEM format without a passphrase"
        raise InvalidTlsFiles(key, why) from error


def require_certificates(path: Path) -> None:
    """Check that a file has certificates.

    Raises:
        InvalidTlsFiles: it has none, a damaged one, or cannot be read.
    """
    _require_readable(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise InvalidTlsFiles(path, "it has no certificate in PEM format, or a damaged one") from error


def _require_readable(path: Path) -> None:
    # The errors of the ssl module do not name the file.
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InvalidTlsFiles(path, error.strerror or str(error)) from error


def expiry_of(path: Path) -> float:
    """Return when the first certificate of a file expires, in seconds since 1970.

    Raises:
        InvalidTlsFiles: it has no certificate.
    """
    try:
        with path.open("rb") as opened:
            found = _FIRST.search(opened.read(_MAX_BYTES).decode("latin-1"))
        if found is None:
            raise InvalidTlsFiles(path, "it has no certificate in PEM format")
        return not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    except (OSError, ValueError, IndexError) as error:
        raise InvalidTlsFiles(path, "it has no certificate in PEM format, or a damaged one") from error


def not_after(certificate: bytes) -> float:
    """Return when a certificate in DER format expires, in seconds since 1970.

    The ssl module shows the certificate of a peer only, so this walks to ``tbsCertificate.validity.notAfter`` (RFC
    5280, section 4.1).

    Raises:
        ValueError, IndexError: it is no certificate.
    """
    _, start, _ = _element(certificate, 0)  # Certificate
    _, place, _ = _element(certificate, start)  # tbsCertificate
    tag, _, end = _element(certificate, place)
    if tag == _VERSION:
        place = end
    for _ in range(3):  # serialNumber, signature, issuer
        _, _, place = _element(certificate, place)
    _, place, _ = _element(certificate, place)  # validity
    _, _, place = _element(certificate, place)  # notBefore
    tag, start, end = _element(certificate, place)
    text = certificate[start:end].decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are of the 20th century
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(data: bytes, place: int) -> tuple[int, int, int]:
    """Return the tag of a DER element, and where its content starts and ends."""
    tag, length, start = data[place], data[place + 1], place + 2
    if length & 0x80:
        digits = length & 0x7F
        length, start = int.from_bytes(data[start : start + digits]), start + digits
    if start + length > len(data):
        raise ValueError("an element ends after the data")
    return tag, start, start + length
