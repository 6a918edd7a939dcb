"""The body of a request, decompressed as it arrives: an ASGI ``receive`` around the server's."""

import asyncio
from typing import Final

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.http.coding.decompression import Decompressor
from tandem_gateway.http.coding.negotiation import Coding
from tandem_runtime.memory import Lease, OverBudget
from tandem_runtime.request_id import Message, Receive

IN_LOOP_BYTES: Final = 64 << 10
"""Bytes of content of one request that the event loop decompresses; a thread decompresses the rest."""

_STEP_BYTES: Final = 256 << 10


class DecompressedBody:
    """The body of one request.

    Each part is decompressed once the handler asks for it, so the handler's limit bounds the content: a handler that
    has enough calls ``stop``, and the rest of the body passes as it was sent, to be discarded.
    """

    def __init__(self, receive: Receive, coding: Coding, lease: Lease, discarded: int) -> None:
        """Make the body.

        Args:
            receive: returns the parts of the compressed body.
            coding: of the body.
            lease: holds the decompressor's memory, until the body ends.
            discarded: maximum number of bytes to read and discard after a fault, so that the client reads the reply.
        """
        self._receive = receive
        self._decompressor = Decompressor(coding)
        self._lease = lease
        self._discarded = discarded
        self._more = True  # whether the server has more of the body
        self._over = False  # whether nothing more is decompressed
        self._ended = False  # whether the handler has the end of the body

    def stop(self) -> None:
        """Stop decompressing: ``receive`` returns the rest of the body as it was sent."""
        self._over = True
        self._lease.release()

    async def receive(self) -> Message:
        """Return the next part of the content.

        Raises:
            InvalidMessage: the body is damaged or cut.
            OverBudget: the requests in progress use up the memory budget.
        """
        if self._ended:
            return await self._receive()  # which waits for the client to leave
        if self._over:
            return await self._undecoded()
        fault: Exception | None
        try:
            return await self._next()
        except (InvalidMessage, OverBudget) as error:
            fault = error
        self.stop()
        await self._discard()
        try:
            raise fault
        finally:
            fault = None  # its traceback has this frame and those that hold the body and its lease

    async def _next(self) -> Message:
        while True:
            self._lease.hold(self._decompressor.memory)
            content = await self._take()
            if content:
                return {"type": "http.request", "body": content, "more_body": True}
            if not self._more:
                self._decompressor.end()
                self.stop()
                return await self._undecoded()
            message = await self._receive()
            if message["type"] != "http.request":
                self.stop()
                self._ended = True
                return message
            self._more = message.get("more_body", False)
            self._decompressor.feed(message.get("body", b""))

    async def _undecoded(self) -> Message:
        """Return the next part of the body as it was sent."""
        if not self._more:
            self._ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._receive()
        self._more = message.get("more_body", False)
        self._ended = not self._more
        return message

    async def _take(self) -> bytes:
        left = IN_LOOP_BYTES - self._decompressor.written
        if left > 0:
            return self._decompressor.take(left)
        return await asyncio.to_thread(self._decompressor.take, _STEP_BYTES)

    async def _discard(self) -> None:
        left = self._discarded
        while self._more and left > 0:
            message = await self._receive()
            left -= len(message.get("body", b""))
            self._more = message.get("more_body", False)
