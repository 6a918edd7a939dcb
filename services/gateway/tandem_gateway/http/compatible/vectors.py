"""Writes vectors as JSON: a few in the event loop, many in a thread, row by row."""

import asyncio
from binascii import b2a_base64
from collections.abc import Callable
from typing import Final

import msgspec

from tandem_contract import headers
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.use_cases.embed_request import EmbeddedTexts
from tandem_runtime.http import Reply
from tandem_runtime.memory import MemoryBudget

Row = Callable[[int, Vectors], bytes]
"""Writes one vector, with its place."""

FLOAT_BYTES: Final = 24
"""Maximum number of bytes of JSON for a float32, with its comma."""
BASE64_BYTES: Final = 6
"""Maximum number of bytes of base64 for a float32, rounded up."""

_AT_ONCE: Final = 256 << 10
"""Bytes of JSON that the event loop writes at once, in about a millisecond."""
_ROW_BYTES: Final = 64
# Base64 of vectors shrinks by a quarter, at 40 to 60 MB/s: that takes longer than to send it on any fast network.
_AS_IT_IS: Final = (b"cache-control", b"no-transform")
_TRUNCATED: Final = headers.TRUNCATED_INPUTS.encode()

_encoder = msgspec.json.Encoder()


def numbers(row: Vectors) -> bytes:
    """Return a vector as a JSON array; a client that reads it as float32 gets the same bytes."""
    return _encoder.encode(row.tolist())


def base64(row: Vectors) -> bytes:
    """Return a vector as base64 of its numbers, float32, little-endian."""
    return b2a_base64(row.astype("<f4", copy=False).data, newline=False)


async def write_vectors(
    embedded: EmbeddedTexts,
    opening: bytes,
    row: Row,
    closing: bytes,
    memory: MemoryBudget,
    *,
    number_bytes: int,
    turn: asyncio.Lock,
    compressible: bool = True,
) -> Reply:
    """Return a reply with vectors.

    Args:
        embedded: the vectors.
        opening: JSON before the first vector.
        row: writes one vector.
        closing: JSON after the last.
        memory: memory budget of all requests; a large reply holds its bytes until it is sent.
        turn: held while a large reply is written: one at a time, because each needs its memory twice for a moment.
        number_bytes: maximum number of bytes that ``row`` writes for a number.
        compressible: whether the reply may be compressed for a client that asks for it.

    Raises:
        OverBudget: the requests in progress use up the memory budget.
    """
    size = embedded.count * (embedded.dim * number_bytes + _ROW_BYTES)
    lease = None
    if size <= _AT_ONCE:
        body = _written(embedded, opening, row, closing)
    else:
        lease = memory.lease()
        async with turn:
            lease.hold(2 * size)  # the rows, and the whole of them
            body = await asyncio.to_thread(_written, embedded, opening, row, closing)
            lease.hold(len(body))
    return Reply(200, body, lease=lease, headers=_headers(embedded.truncated, compressible))


def _written(embedded: EmbeddedTexts, opening: bytes, row: Row, closing: bytes) -> bytes:
    parts = [opening]
    for place, vector in enumerate(embedded.rows()):
        parts.append(row(place, vector))
        parts.append(b",")
    parts[-1] = closing  # in place of the last comma
    return b"".join(parts)


def _headers(truncated: int, compressible: bool) -> tuple[tuple[bytes, bytes], ...]:
    told = ((_TRUNCATED, b"%d" % truncated),) if truncated else ()
    return told if compressible else (*told, _AS_IT_IS)
