"""Compresses replies that are large enough, in the coding that the client asks for."""

import asyncio
import zlib
from typing import Final

from tandem_gateway.http.coding.negotiation import Coding
from tandem_runtime.memory import MemoryBudget, OverBudget
from tandem_runtime.request_id import Message, Send

IN_LOOP_BYTES: Final = 64 << 10
"""The event loop compresses replies up to this size, in about 0.6 ms; a thread compresses larger ones."""

_GZIP_BITS: Final = 31
# A higher level takes twice the time for 3 % of the size.
_LEVEL: Final = 1
_STEP_BYTES: Final = 256 << 10
_TYPES: Final = (b"application/json", b"application/x-ndjson", b"text/html", b"text/plain", b"text/javascript")
_WITHOUT_BODY: Final = (204, 206, 304)
_FIRST_ERROR: Final = 400
_VARY: Final = (b"vary", b"accept-encoding")


class CompressingSend:
    """An ASGI ``send`` that compresses one reply.

    A reply that comes in several parts passes unchanged: events must reach their client at once.
    """

    def __init__(self, send: Send, coding: Coding | None, minimum: int, memory: MemoryBudget) -> None:
        """Make the function.

        Args:
            send: of the request.
            coding: that the client asks for; None for none.
            minimum: size of the smallest reply that is compressed, in bytes.
            memory: holds a large reply while it is compressed. If it is used up, the reply is not compressed.
        """
        self._send = send
        self._coding = coding
        self._minimum = minimum
        self._memory = memory
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Send a part of the reply."""
        if message["type"] == "http.response.start":
            self._start = message  # its headers depend on the body
            return
        start, self._start = self._start, None
        if start is None:
            await self._send(message)
            return
        body = message.get("body", b"")
        if len(body) >= self._minimum and not message.get("more_body", False) and _compressible(start):
            start["headers"] = [*start["headers"], _VARY]
            compressed = None if self._coding is None else await self._compressed(body, self._coding)
            if self._coding is not None and compressed is not None:
                start["headers"] = _headers(start, self._coding, len(compressed))
                message = {**message, "body": compressed}
        await self._send(start)
        await self._send(message)

    async def _compressed(self, body: bytes, coding: Coding) -> bytes | None:
        """Return a compressed body; None if it is no smaller, or the memory for it is used up."""
        lease = self._memory.lease()
        try:
            lease.hold(len(body))
        except OverBudget:
            return None
        if len(body) <= IN_LOOP_BYTES:
            compressed = compress(body, coding)
        else:
            compressed = await asyncio.to_thread(compress, body, coding)
        return compressed if len(compressed) < len(body) else None


def compress(body: bytes, coding: Coding) -> bytes:
    """Return a body in a coding. In steps: each copies its input, and lets other threads run."""
    if coding == "gzip":
        stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_BITS)
        parts = [stream.compress(body[begin : begin + _STEP_BYTES]) for begin in range(0, len(body), _STEP_BYTES)]
        return b"".join([*parts, stream.flush()])
    from tandem_gateway.http.coding import zstandard  # noqa: PLC0415 - only when needed: see there

    frame = zstandard.ZstdCompressor(level=_LEVEL)
    parts = [frame.compress(body[begin : begin + _STEP_BYTES]) for begin in range(0, len(body), _STEP_BYTES)]
    return b"".join([*parts, frame.flush()])


def _compressible(start: Message) -> bool:
    # Errors are small, and routes for clients of other services give them another shape afterwards.
    if start["status"] in _WITHOUT_BODY or start["status"] >= _FIRST_ERROR:
        return False
    compressible = False
    for name, value in start["headers"]:
        if name == b"content-encoding" or (name == b"cache-control" and b"no-transform" in value):
            return False
        if name == b"content-type":
            compressible = value.partition(b";")[0].strip() in _TYPES
    return compressible


def _headers(start: Message, coding: Coding, size: int) -> list[tuple[bytes, bytes]]:
    """Return the headers of the compressed reply. Its entity tag is weak: the bytes are not those of the other form."""
    headers = [(b"content-encoding", coding.encode()), (b"content-length", b"%d" % size)]
    for name, value in start["headers"]:
        if name == b"etag" and not value.startswith(b"W/"):
            headers.append((name, b"W/" + value))
        elif name != b"content-length":
            headers.append((name, value))
    return headers
