"""Where the gateway is and how to reach it: arguments, and the environment for those that are missing."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from tandem_client.retry import RetryPolicy

MAX_SECONDS = 31_536_000
"""Longest time-out, a year; sockets take no infinite one."""
DEFAULT_URL = "http://localhost:8000"
URL_VARIABLE = "TANDEM_URL"
KEY_VARIABLE = "TANDEM_API_KEY"
KEY_FILE_VARIABLE = "TANDEM_API_KEY_FILE"
MAX_KEY_BYTES = 16_384
"""A JSON Web Token may be long."""

Verify = bool | str | os.PathLike[str] | ssl.SSLContext
Certificate = str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a client needs; ``repr`` does not show the API key.

    Attributes:
        url: of the gateway, without a slash at its end.
        api_key: empty without one.
        timeout: seconds that a call may take, with all its attempts and waits.
        attempt_timeout: seconds that one attempt may take; None for what is left of ``timeout``.
        retry: how often and how long to try again.
        headers: sent with every request.
        max_connections: connections at the same time.
        max_reply_bytes: a larger reply, decompressed, is refused.
        verify: False to trust any certificate; a file with certificates of authorities; or a context.
        cert: file with the client's certificate and key, or two files.
        trust_env: whether a proxy of the environment is used; None for all URLs but those of the loopback.
    """

    url: str = DEFAULT_URL
    api_key: str = field(default="", repr=False)
    timeout: float = 60.0
    attempt_timeout: float | None = None
    retry: RetryPolicy = RetryPolicy()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_connections: int = 20
    max_reply_bytes: int = 64 << 20
    verify: Verify = True
    cert: Certificate | None = None
    trust_env: bool | None = None

    def __post_init__(self) -> None:
        for name, seconds in (("timeout", self.timeout), ("attempt_timeout", self.attempt_timeout)):
            if seconds is not None and not 0 < seconds <= MAX_SECONDS:
                raise ValueError(f"{name}: seconds above 0 and up to {MAX_SECONDS} were expected, not {seconds}")
        if self.max_connections < 1:
            raise ValueError(f"max_connections: a number from 1 was expected, not {self.max_connections}")
        if self.max_reply_bytes < 1:
            raise ValueError(f"max_reply_bytes: a number from 1 was expected, not {self.max_reply_bytes}")
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable() and " " not in self.api_key):
            raise ValueError("api_key: visible ASCII characters were expected")

    def uses_environment(self) -> bool:
        """Tell whether proxies of the environment are used."""
        return not is_loopback(self.url) if self.trust_env is None else self.trust_env


def url_of(url: str | None, environ: Mapping[str, str]) -> str:
    """Return the gateway's URL without a slash at its end; from ``TANDEM_URL`` if there is no argument.

    Raises:
        ValueError: it is not an http or https URL, or has a user, a query or a fragment.
    """
    named = "url" if url is not None else URL_VARIABLE
    value = (url if url is not None else environ.get(URL_VARIABLE) or DEFAULT_URL).strip()
    try:
        parts = urlsplit(value)
        written = value.isprintable() and " " not in value
        valid = written and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{named}: an http or https URL such as {DEFAULT_URL} was expected")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{named}: a URL without a user was expected; give the API key as api_key")
    if parts.query or parts.fragment:
        raise ValueError(f"{named}: a URL without a query and a fragment was expected")
    return value.rstrip("/")


def key_of(api_key: str | None, environ: Mapping[str, str]) -> str:
    """Return the API key, from the environment if there is no argument; empty without one.

    Raises:
        ValueError: the environment has a key and a file, or the file is empty, too large or cannot be read.
    """
    if api_key is not None:
        return api_key
    key, file = environ.get(KEY_VARIABLE, ""), environ.get(KEY_FILE_VARIABLE, "")
    if key and file:
        raise ValueError(f"{KEY_VARIABLE} and {KEY_FILE_VARIABLE} are both set; only one of them is allowed")
    if not file:
        return key.strip()
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{KEY_FILE_VARIABLE}: {file} cannot be read: {error.strerror}") from error
    if len(content) > MAX_KEY_BYTES:
        raise ValueError(f"{KEY_FILE_VARIABLE}: {file} has more than {MAX_KEY_BYTES} bytes")
    text = content.decode(errors="replace").strip()
    if not text:
        raise ValueError(f"{KEY_FILE_VARIABLE}: {file} is empty")
    return text


def tls_context(verify: Verify, cert: Certificate | None) -> ssl.SSLContext | bool:
    """Return what httpx2 takes as ``verify``.

    Raises:
        ValueError: a file cannot be read, or has no certificate.
    """
    if cert is None and isinstance(verify, bool | ssl.SSLContext):
        return verify
    try:
        if isinstance(verify, ssl.SSLContext):
            context = verify
        else:
            context = ssl.create_default_context(cafile=None if isinstance(verify, bool) else os.fspath(verify))
            if verify is False:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
        if cert is not None:
            chain, key = cert if isinstance(cert, tuple) else (cert, None)
            context.load_cert_chain(chain, key)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"verify, cert: the certificates cannot be read: {error}") from error
    return context


def is_loopback(url: str) -> bool:
    """Tell whether a URL is of this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def client_version() -> str:
    """Return the version of the installed distribution; ``unknown`` in a source tree."""
    try:
        return version("tandem-client")
    except PackageNotFoundError:
        return "unknown"
