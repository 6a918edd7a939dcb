"""The content of an ingest: JSON or JSON lines, as it is or compressed by gzip."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, get_args
from urllib.parse import parse_qsl

from tandem_contract import headers
from tandem_contract.client_api import DEFAULT_COLLECTION, OnError
from tandem_contract.decoding import Body, InvalidMessage, cut
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.body import media_type_of, query_parameters
from tandem_runtime.request_id import Scope, header

MAX_MEMBERS: Final = 1_000
"""Maximum number of gzip members in a body. Each costs some microseconds, however small it is."""

_GZIP_BITS: Final = 31  # zlib's code for the gzip format with a window of any size
# Slices of the input and output: each step copies the rest of its slice, and lets other threads run.
_READ_BYTES: Final = 64 << 10
_WRITTEN_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """How to read the body of an ingest.

    Attributes:
        collection: name of the collection, for JSON lines; None for JSON, where it is a field.
        gzip: whether the body is compressed.
        skip: whether to skip documents that are not valid, for JSON lines; for JSON a field says so.
    """

    collection: str | None = None
    gzip: bool = False
    skip: bool = False


def content_of(scope: Scope) -> Content:
    """Return how to read the body of a request, from its headers and its query.

    Raises:
        InvalidMessage: the content type or the content coding is not taken.
        InvalidRequest: a query parameter is unknown or repeated, or belongs to another content type.
    """
    lines = media_type_of(scope, headers.JSON, headers.NDJSON) == headers.NDJSON
    coding = (header(scope, b"content-encoding") or b"").strip().lower()
    if coding not in (b"", b"identity", b"gzip"):
        raise InvalidMessage(
            f"content-encoding: {cut(ascii(coding.decode('latin-1')))} is not taken; send gzip or the body as it is",
            code="unsupported_media_type",
            param="content-encoding",
        )
    if lines:
        given = query_parameters(scope, "collection", "on_error")
        on_error = given.get("on_error", "reject")
        if on_error not in get_args(OnError):
            raise InvalidRequest(
                f"on_error: one of {', '.join(get_args(OnError))} was expected, not {cut(on_error)}", param="on_error"
            )
        return Content(given.get("collection", DEFAULT_COLLECTION), coding == b"gzip", on_error == "skip")
    given = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    for name in ("collection", "on_error"):
        if name in given:
            raise InvalidRequest(
                f"{name}: is a field of the body; only {headers.NDJSON} has it as a query parameter", param=name
            )
    return Content(None, coding == b"gzip")


def decompressed(body: Body, limit: int, hold: Callable[[int], None]) -> bytearray:
    """Return the content of a gzip body, which may have several members.

    Args:
        body: the compressed body.
        limit: maximum size of the content in bytes; no more is decompressed than one step beyond it.
        hold: called with the size of the content so far; may raise OverBudget.

    Raises:
        InvalidMessage: the body is no whole gzip, has too many members, or its content exceeds ``limit``.
    """
    found = bytearray()
    members, member = 0, zlib.decompressobj(_GZIP_BITS)

    def take(piece: bytes) -> None:
        found.extend(piece)
        if len(found) > limit:
            raise InvalidMessage(
                f"the decompressed body has more than {limit} bytes, which is the limit; send less at once",
                code="body_too_large",
                param="body",
            )
        hold(len(found))

    try:
        for begin in range(0, len(body), _READ_BYTES):
            rest = bytes(body[begin : begin + _READ_BYTES])
            while rest:
                if member.eof:
                    members += 1
                    if members == MAX_MEMBERS:
                        raise _malformed(f"it has more than {MAX_MEMBERS} members")
                    member = zlib.decompressobj(_GZIP_BITS)
                take(member.decompress(rest, _WRITTEN_BYTES))
                rest = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof:
            piece = member.decompress(b"", _WRITTEN_BYTES)
            if not piece:
                raise _malformed("it ends too early")
            take(piece)
    except zlib.error as error:
        raise _malformed(str(error)) from None
    return found


def _malformed(reason: str) -> InvalidMessage:
    return InvalidMessage(f"body: cannot be decompressed as gzip: {reason}", code="malformed_body", param="body")
