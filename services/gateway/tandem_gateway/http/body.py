"""Reads requests: the body within its size limit, the query parameters and the headers."""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from tandem_contract import headers
from tandem_contract.decoding import Body, InvalidMessage, cut, decode_json
from tandem_gateway.errors import InvalidRequest
from tandem_runtime.body import read_body
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Receive, Scope, header

T = TypeVar("T")

_CONTENT_TYPE = b"content-type"
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_JSON = headers.JSON.encode()
_TIMEOUT = headers.TIMEOUT_MS.encode()
_IDEMPOTENCY_KEY = headers.IDEMPOTENCY_KEY.encode()
_MAX_TIMEOUT_MS = 600_000
_MAX_DIGITS = 9
_MAX_PARAMETERS = 20


async def read_json(scope: Scope, receive: Receive, decoder: msgspec.json.Decoder[T], limit: int) -> T:
    """Return the decoded message of a request's body.

    Raises:
        InvalidMessage: as in ``read_body_of``, and for a body that does not match the decoder's type.
        ClientGone: the client closed the connection before the end of the body.
    """
    return decode_json(await read_body_of(scope, receive, limit), decoder)


async def read_body_of(scope: Scope, receive: Receive, limit: int, lease: Lease | None = None) -> Body:
    """Return the body of a request whose content is JSON.

    Args:
        scope: ASGI scope of the request.
        receive: ASGI receive function, which delivers the body.
        limit: maximum size of the body, in bytes.
        lease: holds the body's bytes in the memory budget; required if ``limit`` exceeds ``memory.FREE_BYTES``.

    Raises:
        InvalidMessage: the content type is missing or not JSON; the content coding is unknown; the body is
            damaged, larger than ``limit`` once it is decompressed, or does not arrive in time.
        OverBudget: the requests in progress use up the memory budget.
        ClientGone: the client closed the connection before the end of the body.
    """
    media_type_of(scope, headers.JSON)
    return await read_body(scope, receive, limit, lease=lease)


def media_type_of(scope: Scope, *accepted: str) -> str:
    """Return the media type of a body, one of those that the route accepts, in UTF-8.

    The header is required as a defence against cross-site requests: a browser lets a web page send a request without
    it to any server, but sends a preflight request before these types.

    Raises:
        InvalidMessage: there is no content type, it is another one, or has another charset.
    """
    content_type = header(scope, _CONTENT_TYPE)
    if content_type == _JSON and headers.JSON in accepted:
        return headers.JSON
    expected = " or ".join(accepted)
    if content_type is None:
        raise InvalidMessage(
            f"content-type: {expected} was expected, and there is none",
            code="unsupported_media_type",
            param="content-type",
        )
    media_type, *parameters = content_type.decode("latin-1").lower().split(";")
    charsets = [
        value.strip(' "') for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "charset"
    ]
    if media_type.strip() not in accepted or any(charset not in _CHARSETS for charset in charsets):
        shown = cut(ascii(content_type.decode("latin-1")))
        raise InvalidMessage(
            f"content-type: {expected} in UTF-8 was expected, not {shown}",
            code="unsupported_media_type",
            param="content-type",
        )
    return media_type.strip()


def caller_timeout(scope: Scope) -> float | None:
    """Return the caller's timeout in seconds, from its header; None without the header.

    Raises:
        InvalidRequest: the header is not a whole number of milliseconds from 1 to 600000.
    """
    given = header(scope, _TIMEOUT)
    if given is None:
        return None
    if not (given.isdigit() and len(given) <= _MAX_DIGITS and 1 <= int(given) <= _MAX_TIMEOUT_MS):
        raise InvalidRequest(
            f"{headers.TIMEOUT_MS}: a whole number from 1 to {_MAX_TIMEOUT_MS} was expected", param=headers.TIMEOUT_MS
        )
    return int(given) / 1000


def idempotency_key_of(scope: Scope) -> str | None:
    """Return the request's idempotency key, which the use case checks; None without the header.

    Raises:
        InvalidRequest: the header is there more than once.
    """
    given = [value for name, value in scope["headers"] if name == _IDEMPOTENCY_KEY]
    if len(given) > 1:
        raise InvalidRequest(f"{headers.IDEMPOTENCY_KEY}: is there more than once", param=headers.IDEMPOTENCY_KEY)
    return given[0].decode("latin-1") if given else None


def whole_number(parameters: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """Return a query parameter that is a whole number.

    Raises:
        InvalidRequest: it is no whole number from ``low`` to ``high``.
    """
    given = parameters.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit()):
        raise InvalidRequest(f"{name}: a whole number from {low} to {high} was expected, not {cut(given)}", param=name)
    if len(given) > _MAX_DIGITS or not low <= int(given) <= high:
        raise InvalidRequest(
            f"{name}: a whole number from {low} to {high} was expected, not {cut(given)}",
            param=name,
            code="limit_exceeded",
        )
    return int(given)


def query_parameters(scope: Scope, *names: str) -> dict[str, str]:
    """Return the parameters of a request's query.

    Args:
        scope: ASGI scope of the request.
        names: names of the allowed parameters.

    Raises:
        InvalidRequest: a parameter is unknown or repeated, or the query is not valid UTF-8.
    """
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError as error:  # UnicodeError is a subclass
        raise InvalidRequest(f"query: cannot be read ({error})", param="query") from None
    for name, value in pairs:
        if name not in names:
            raise InvalidRequest(f"unknown query parameter: {cut(name)}", param=cut(name), code="unknown_field")
        if name in found:
            raise InvalidRequest(f"{name}: is there more than once", param=name)
        found[name] = value
    return found
