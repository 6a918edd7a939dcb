"""Parsers of settings that only the gateway has."""

import re
from typing import Final
from urllib.parse import urlsplit

from tandem_gateway.records.limits import Limit, parse_limits

_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_LEAST_KEY = 32
_MOST_KEY = 512


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


def postgres_url(text: str) -> str:
    """Return the URL of a PostgreSQL database; an empty text stays empty.

    Raises:
        ValueError: it is no such URL; the message does not repeat it, because it may have a password.
    """
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("a URL that begins with postgresql:// was expected")
    return text


def pgvector_url(text: str) -> str:
    """Return the URL of a PostgreSQL database, or the word ``store``; an empty text stays empty.

    Raises:
        ValueError: it is neither; the message does not repeat it, because it may have a password.
    """
    if text == "store":
        return text
    try:
        return postgres_url(text)
    except ValueError as error:
        raise ValueError(f"{error}, or the word store") from None


def milvus_url(text: str) -> str:
    """Return the URL of a Milvus server; an empty text stays empty.

    Raises:
        ValueError: it is no such URL.
    """
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("a URL that begins with http:// or https:// was expected")
    return text


def snapshot_url(text: str) -> str:
    """Return the URL of a place for shared snapshots; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if not text:
        return text
    parts = urlsplit(text)
    if parts.query or parts.fragment:
        raise ValueError("a URL without ? and # was expected")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return text
    if parts.scheme == "s3" and re.fullmatch("[a-z0-9.-]+", parts.netloc):
        return text.rstrip("/")
    raise ValueError("a URL such as file:///mnt/snapshots or s3://bucket/prefix was expected")


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
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("printable ASCII characters without a space were expected")
    return text


def api_key(text: str) -> str:
    """Return an API key from outside; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if text and not (
        _LEAST_KEY <= len(text) <= _MOST_KEY and text.isascii() and text.isprintable() and " " not in text
    ):
        raise ValueError(f"{_LEAST_KEY} to {_MOST_KEY} printable ASCII characters without a space were expected")
    return text


def limits(text: str) -> tuple[Limit, ...]:
    """Return limits that are separated by commas; an empty text has none.

    Raises:
        ValueError: says what was expected.
    """
    return parse_limits(part for each in text.split(",") if (part := each.strip()))


def audit_log(text: str) -> str:
    """Return where the audit log goes: a path, or ``stderr``, ``stdout``, ``off``, or empty for the default.

    Raises:
        ValueError: it is not a path of a file.
    """
    if text.endswith("/") or "\0" in text:
        raise ValueError("the path of a file, stderr, stdout or off was expected")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Return origins of web pages as browsers send them, without duplicates; ``*`` stays alone.

    ``null`` is refused: a page of any site can have this origin.

    Raises:
        ValueError: says what was expected.
    """
    given = [origin.strip() for origin in text.split(",") if origin.strip()]
    if "*" in given:
        if len(given) > 1:
            raise ValueError("* or origins were expected, not both")
        return ("*",)
    return tuple(dict.fromkeys(_origin(each) for each in given))


def _origin(text: str) -> str:
    matched = _ORIGIN.fullmatch(text.lower())
    if matched is None:
        raise ValueError(
            f"{text} is no origin: a scheme, a host and perhaps a port were expected, as https://app.example"
        )
    scheme, host, port = matched.groups()
    if port is None or port == _DEFAULT_PORTS.get(scheme):  # browsers leave it out
        return f"{scheme}://{host}"
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{text} has no valid port")
    return f"{scheme}://{host}:{int(port)}"
