"""A server that does nothing: it reads HTTP requests and answers each with the same bytes.

A client reaches its highest rate on this machine against this server. The server has a process of its own, so that
the client's interpreter does the same work as in the real run::

    python -m gateway_bench.load.null_server < reply-body     # prints its port, and ends when its standard input does
"""

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import httptools
import uvloop


class _Connection(asyncio.Protocol):
    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_complete(self) -> None:
        assert self._transport is not None
        self._transport.write(self._reply)


def reply_of(body: bytes) -> bytes:
    """Return a whole response with this JSON body."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def serve(body: bytes, say_port: Callable[[int], None], ended: Callable[[], object]) -> None:
    """Serve on a free port of the loopback until ``ended``, which blocks in a thread, returns."""
    loop = asyncio.get_running_loop()
    reply = reply_of(body)
    server = await loop.create_server(lambda: _Connection(reply), "127.0.0.1", 0)
    say_port(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(ended)
    server.close()


def main() -> int:
    """Read a line with the length of the body, then the body; serve until standard input ends."""
    length = int(sys.stdin.buffer.readline())
    body = sys.stdin.buffer.read(length)

    def say_port(port: int) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    uvloop.run(serve(body, say_port, sys.stdin.buffer.read))
    return 0


if __name__ == "__main__":
    sys.exit(main())
