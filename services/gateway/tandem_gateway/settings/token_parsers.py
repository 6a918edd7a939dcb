"""Parsers of the settings of JSON Web Tokens."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tandem_runtime.settings import readable_file

MIN_SECRET_BYTES: Final = 32
MAX_SECRET_BYTES: Final = 1024
_ROLES: Final = ("search", "ingest", "admin")
_GLOB: Final = re.compile(r"[A-Za-z0-9._*?-]{1,64}")
_MAX_STARS: Final = 4


def jwks(text: str) -> str:
    """Return a URL, or the path of a readable file; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if "://" not in text:
        return readable_file(text)
    parts = urlsplit(text)  # raises ValueError for an invalid host; .port raises it for an invalid port
    if parts.scheme not in ("http", "https"):
        raise ValueError("a file, or a URL that begins with https://, was expected")
    if not parts.hostname or parts.port == 0 or parts.username is not None or parts.fragment:
        raise ValueError("a URL with a host, perhaps a port and a path, and no user name was expected")
    return text


def is_local(url: str) -> bool:
    """Return whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def secret(text: str) -> str:
    """Return a secret; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if text:
        check_secret(text.encode())
    return text


def check_secret(given: bytes) -> bytes:
    """Return a secret.

    Raises:
        ValueError: says what was expected.
    """
    if not MIN_SECRET_BYTES <= len(given) <= MAX_SECRET_BYTES:
        raise ValueError(f"{MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes were expected")
    return given


def secret_in_file(file: Path) -> bytes:
    """Return the secret in a file, without white space around it; blocks.

    Raises:
        ValueError: it is too short or too long.
        OSError: the file cannot be read.
    """
    with file.open("rb") as opened:
        return check_secret(opened.read(2 * MAX_SECRET_BYTES).strip())


def audiences(text: str) -> tuple[str, ...]:
    """Return names of audiences, separated by commas; an empty text gives none."""
    return _separated(text)


def algorithms(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of names of algorithms, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        found = _separated(text)
        for name in found:
            if name not in known:
                raise ValueError(f"some of {', '.join(known)} were expected, with commas between")
        return found

    return parse


def role_names(text: str) -> tuple[tuple[str, str], ...]:
    """Return pairs of an outside name and a role.

    Raises:
        ValueError: says what was expected.
    """
    pairs = []
    for part in _separated(text):
        name, _, role = part.rpartition("=")
        if not name or role not in _ROLES:
            raise ValueError("NAME=search, NAME=ingest or NAME=admin was expected, with commas between")
        pairs.append((name.strip(), role))
    if len(dict(pairs)) != len(pairs):
        raise ValueError("each name was expected once")
    return tuple(pairs)


def globs(text: str) -> tuple[str, ...]:
    """Return globs of collections, separated by commas.

    Raises:
        ValueError: says what was expected.
    """
    found = _separated(text)
    for glob in found:
        if _GLOB.fullmatch(glob) is None or glob.count("*") > _MAX_STARS:
            raise ValueError(
                f"globs of 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '-', '?' and at most {_MAX_STARS} '*' were "
                "expected, with commas between"
            )
    return found


def _separated(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
