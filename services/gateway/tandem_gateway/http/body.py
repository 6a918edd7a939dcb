"""Reads what a request says: its body within its bounds, and its headers."""

from typing import TypeVar

import msgspec

from tandem_contract import headers
from tandem_contract.decoding import InvalidMessage, decode_json
from tandem_contract.service.body import read_body
from tandem_contract.service.exchange import exchange_of
from tandem_contract.service.request_id import Receive, Scope
from tandem_gateway.errors import InvalidRequest

T = TypeVar("T")

_CONTENT_TYPE = b"content-type"
_JSON = headers.JSON.encode()
_TIMEOUT = headers.TIMEOUT_MS.encode()
_MAX_TIMEOUT_MS = 600_000
_MAX_DIGITS = 9


async def read_json(scope: Scope, receive: Receive, decoder: msgspec.json.Decoder[T], limit: int) -> T:
    """Return the message in the body.

    Raises:
        InvalidMessage: for another content type, a body over ``limit`` bytes, one that does not come, or one that is
            not of the decoder's type.
        ClientGone: if the connection closes before its end.
    """
    content_type = header(scope, _CONTENT_TYPE)
    if content_type is not None and content_type != _JSON:
        plain = content_type.partition(b";")[0].strip().lower()
        if plain != _JSON:
            raise InvalidMessage(
                f"content-type: {headers.JSON} was expected, not {plain.decode('latin-1')!r}",
                code="unsupported_media_type",
                param="content-type",
            )
    return decode_json(await read_body(receive, limit, exchange=exchange_of(scope)), decoder)


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


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a header's first value; ``name`` is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None
