"""Content negotiation: the syntax of a request and of its reply (RFC 9110, sections 8.3, 8.4 and 12.5.1)."""

from enum import Enum
from functools import lru_cache

from tandem_contract import headers
from tandem_contract.decoding import InvalidMessage, cut


class Syntax(Enum):
    """Syntax of a message; the value is its media type."""

    JSON = headers.JSON
    MSGPACK = headers.MSGPACK


# Clients send a handful of header values repeatedly. The bound limits the memory if a client invents values.
@lru_cache(maxsize=64)
def request_syntax(content_type: bytes | None, content_encoding: bytes | None) -> Syntax:
    """Return the syntax of a request's body.

    The content type is required. A web page may send a request without one to any server that its visitor can reach.
    Before a request with JSON, the browser asks the server (a CORS preflight).

    Raises:
        InvalidMessage: if the media type is missing or not supported, or the body has a content coding.
    """
    if content_encoding is not None and content_encoding.strip().lower() not in (b"", b"identity"):
        raise InvalidMessage(
            f"content-encoding: {cut(ascii(content_encoding.decode('latin-1')))} is not taken; send the body as it is",
            code="unsupported_media_type",
            param="content-encoding",
        )
    media_type = _media_type(content_type or b"")
    if media_type == headers.JSON:
        return Syntax.JSON
    if media_type == headers.MSGPACK:
        return Syntax.MSGPACK
    raise InvalidMessage(
        f"content-type: {cut(ascii(media_type))} is not taken; send {headers.JSON} or {headers.MSGPACK}",
        code="unsupported_media_type",
        param="content-type",
    )


@lru_cache(maxsize=64)
def reply_syntax(accept: bytes | None) -> Syntax:
    """Return the reply syntax that the caller prefers; JSON without an ``Accept`` header or a preference.

    Raises:
        InvalidMessage: if the caller accepts neither.
    """
    ranges = _ranges(accept) if accept else {}
    if not ranges:
        return Syntax.JSON
    json = _quality(ranges, headers.JSON)
    msgpack = _quality(ranges, headers.MSGPACK)
    if json <= 0 and msgpack <= 0:
        raise InvalidMessage(
            f"accept: nothing in it can be sent; {headers.JSON} and {headers.MSGPACK} can",
            code="not_acceptable",
            param="accept",
        )
    if msgpack == json:
        # "application/msgpack, */*" has equal qualities: prefer the syntax that it names.
        named = headers.MSGPACK in ranges and headers.JSON not in ranges
        return Syntax.MSGPACK if named else Syntax.JSON
    return Syntax.MSGPACK if msgpack > json else Syntax.JSON


def _ranges(accept: bytes) -> dict[str, float]:
    """Return media range → quality; a malformed quality counts as 1."""
    ranges = {}
    for part in accept.split(b","):
        media_type = _media_type(part)
        if not media_type:
            continue
        quality = 1.0
        for parameter in part.split(b";")[1:]:
            name, _, value = parameter.partition(b"=")
            if name.strip().lower() == b"q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 1.0
        ranges[media_type] = quality
    return ranges


def _quality(ranges: dict[str, float], media_type: str) -> float:
    """Return the quality of the most specific range that covers ``media_type``; 0 if none does."""
    for candidate in (media_type, "application/*", "*/*"):
        if candidate in ranges:
            return ranges[candidate]
    return 0.0


def _media_type(value: bytes) -> str:
    return value.split(b";", 1)[0].strip().lower().decode("latin-1")
