"""Parsers of settings that only the gateway has."""

import os
from pathlib import Path
from urllib.parse import urlsplit


def urls(text: str) -> str:
    """Return URLs of embedders, separated by commas, without duplicates and final slashes.

    Raises:
        ValueError: says what was expected.
    """
    found = [url.strip().rstrip("/") for url in text.split(",")]
    for url in found:
        if not url.startswith(("http://", "https://")):
            raise ValueError("a URL that starts with http:// or https:// was expected, or several with commas between")
        parts = urlsplit(url)  # raises ValueError for an invalid host; .port raises it for an invalid port
        if not parts.hostname or parts.port == 0:
            raise ValueError(f"{url} names no host or port")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{url} has more than a host, a port and a path")
    return ",".join(dict.fromkeys(found))


def optional_urls(text: str) -> str:
    """Return URLs as ``urls`` does; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    return urls(text) if text else ""


def token(text: str) -> str:
    """Return a token that is hard to guess; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if text and not (len(text) >= 16 and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("16 or more printable ASCII characters without a space were expected")
    return text


def bearer(text: str) -> str:
    """Return a token for another service; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if not (text.isascii() and (text.isprintable()) and " " not in text):
        raise ValueError("printable ASCII characters without a space were expected")
    return text


def optional_file(text: str) -> str:
    """Return the path of a readable file; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if text and not Path(text).is_file():
        raise ValueError("a file that exists was expected")
    if text and not os.access(text, os.R_OK):
        raise ValueError("a file that this user may read was expected")
    return text
