"""Reads what a request says: its body within its bounds, and its headers."""

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from tandem_contract import headers
from tandem_contract.decoding import Body, InvalidMessage, cut, decode_json
from tandem_contract.service.body import read_body
from tandem_contract.service.exchange import exchange_of
from tandem_contract.service.memory import Lease
from tandem_contract.service.request_id import Receive, Scope
from tandem_gateway.errors import InvalidRequest

T = TypeVar("T")

_CONTENT_TYPE = b"content-type"
_CONTENT_ENCODING = b"content-encoding"
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_JSON = headers.JSON.encode()
_TIMEOUT = headers.TIMEOUT_MS.encode()
_MAX_TIMEOUT_MS = 600_000
_MAX_DIGITS = 9
_MOST_PARAMETERS = 20


async def read_json(scope: Scope, receive: Receive, decoder: msgspec.json.Decoder[T], limit: int) -> T:
    """Return the message in the body.

    Raises:
        InvalidMessage: as ``read_body_of`` does, and for a body that is not of the decoder's type.
        ClientGone: if the connection closes before its end.
    """
    return decode_json(await read_body_of(scope, receive, limit), decoder)


async def read_body_of(scope: Scope, receive: Receive, limit: int, lease: Lease | None = None) -> Body:
    """Return the body of a request whose content is JSON.

    Args:
        scope: of the request.
        receive: gives the body.
        limit: bytes that it may have.
        lease: holds its bytes; needed where ``limit`` is more than a lease holds for free.

    Raises:
        InvalidMessage: for another content type or none, a content coding, a body over ``limit`` bytes, or one that
            does not come.
        OverBudget: if requests under way hold too much memory already.
        ClientGone: if the connection closes before its end.
    """
    content_type = header(scope, _CONTENT_TYPE)
    if content_type != _JSON:
        _check_content_type(content_type)
    coding = header(scope, _CONTENT_ENCODING)
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        raise InvalidMessage(
            f"content-encoding: {cut(ascii(coding.decode('latin-1')))} is not taken; send the body as it is",
            code="unsupported_media_type",
            param="content-encoding",
        )
    return await read_body(receive, limit, exchange=exchange_of(scope), lease=lease)


def _check_content_type(content_type: bytes | None) -> None:
    """Check that a content type is JSON in UTF-8.

    It is required: a web page may send a request without one to any server, but has to ask before it sends JSON.
    """
    if content_type is None:
        raise InvalidMessage(
            f"content-type: {headers.JSON} was expected, and there is none",
            code="unsupported_media_type",
            param="content-type",
        )
    media_type, *parameters = content_type.decode("latin-1").lower().split(";")
    charsets = [
        value.strip(' "') for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "charset"
    ]
    if media_type.strip() != headers.JSON or any(charset not in _CHARSETS for charset in charsets):
        shown = cut(ascii(content_type.decode("latin-1")))
        raise InvalidMessage(
            f"content-type: {headers.JSON} in UTF-8 was expected, not {shown}",
            code="unsupported_media_type",
            param="content-type",
        )


def caller_timeout(scope: Scope) -> float | None:
    """Return the seconds that the caller will wait, from its header; None if it does not say.

    Raises:
        InvalidRequest: unless it is a whole number of milliseconds from 1 to 600000.
    """
    given = header(scope, _TIMEOUT)
    if given is None:
        return None
    if not (given.isdigit() and len(given) <= _MAX_DIGITS and 1 <= int(given) <= _MAX_TIMEOUT_MS):
        raise InvalidRequest(
            f"{headers.TIMEOUT_MS}: a whole number from 1 to {_MAX_TIMEOUT_MS} was expected", param=headers.TIMEOUT_MS
        )
    return int(given) / 1000


def query_parameters(scope: Scope, *names: str) -> dict[str, str]:
    """Return the parameters of a request's query.

    Args:
        scope: of the request.
        names: of the parameters that there may be.

    Raises:
        InvalidRequest: for another parameter, one that is there twice, and what is no UTF-8.
    """
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as error:  # a UnicodeError is one
        raise InvalidRequest(f"query: cannot be read ({error})", param="query") from None
    for name, value in pairs:
        if name not in names:
            raise InvalidRequest(f"unknown query parameter: {cut(name)}", param=cut(name), code="unknown_field")
        if name in found:
            raise InvalidRequest(f"{name}: is there more than once", param=name)
        found[name] = value
    return found


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a header's first value; ``name`` is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None
