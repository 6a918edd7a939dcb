"""Reads a request's body within its bounds, and decodes it."""

import asyncio
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, InternalServerException
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE

from tandem_contract import headers
from tandem_contract.decoding import InvalidMessage, decode_json
from tandem_gateway.errors import InvalidRequest

T = TypeVar("T")

# A client that sends its body more slowly than this is cut off: it holds memory and a connection.
_BODY_SECONDS = 30.0
_MAX_TIMEOUT_MS = 600_000
_MAX_DIGITS = 9


async def read_json(request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T], limit: int) -> T:
    """Return the message in the body.

    Raises:
        InvalidMessage: for another content type, a body over ``limit`` bytes, one that does not come, or one that is
            not of the decoder's type.
    """
    content_type = request.headers.get("content-type", headers.JSON).partition(";")[0].strip().lower()
    if content_type != headers.JSON:
        raise InvalidMessage(
            f"content-type: {headers.JSON} was expected, not {content_type!r}",
            code="unsupported_media_type",
            param="content-type",
        )
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.body()
    except TimeoutError:
        raise InvalidMessage(
            f"the body did not arrive within {_BODY_SECONDS:g} s", code="body_timeout", param="body"
        ) from None
    except ClientException as error:
        if error.status_code != HTTP_413_REQUEST_ENTITY_TOO_LARGE:
            raise
        raise InvalidMessage(
            f"the body is larger than {limit} bytes (TANDEM_MAX_BODY_BYTES)", code="body_too_large", param="body"
        ) from None
    except InternalServerException:
        # So the framework calls it when the client goes away; it is no fault of ours, and nobody reads the answer.
        raise InvalidMessage("the client closed the connection within the body", code="malformed_body") from None
    return decode_json(body, decoder)


def caller_timeout(request: Request[Any, Any, Any]) -> float | None:
    """Return the seconds that the caller will wait, from its header; None if it does not say.

    Raises:
        InvalidRequest: unless it is a whole number of milliseconds from 1 to 600000.
    """
    given = request.headers.get(headers.TIMEOUT_MS)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS and 1 <= int(given) <= _MAX_TIMEOUT_MS):
        raise InvalidRequest(
            f"{headers.TIMEOUT_MS}: a whole number from 1 to {_MAX_TIMEOUT_MS} was expected", param=headers.TIMEOUT_MS
        )
    return int(given) / 1000
