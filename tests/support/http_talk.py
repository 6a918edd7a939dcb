"""A small application behind the server of both services, and clients that write bytes to its socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tandem_runtime.body import ClientGone, read_body
from tandem_runtime.edge import edge
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope, Send
from tests.support.serving import serving

GET = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
OFFER = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"


class App:
    """Answers with the path, at once or when a test releases it; reads the body or ignores it."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = reads
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.begun = asyncio.Event()
        self.answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        self.headers.append(scope["headers"])
        self.begun.set()
        if self.reads:
            try:
                await read_body(scope, receive, 1_000_000)
            except ClientGone:
                return
        await self.gate.wait()
        await Reply(200, scope["path"].encode()).send(scope, send)
        self.answered += 1


@asynccontextmanager
async def served(*, reads: bool = True, max_connections: int = 100) -> AsyncIterator[tuple[App, int]]:
    app = App(reads=reads)
    async with serving(edge(app), max_connections=max_connections) as port:
        yield app, port


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def read_answers(reader: asyncio.StreamReader) -> list[tuple[int, bytes]]:
    """Return the status and the body of each response until the server closes."""
    found = []
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as ended:
            if ended.partial:
                raise
            return found
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append((int(head.split()[1]), await reader.readexactly(length)))


async def answers_to(port: int, *pieces: bytes) -> list[tuple[int, bytes]]:
    reader, writer = await connect(port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    found = await read_answers(reader)
    writer.close()
    return found


def message_of(body: bytes) -> str:
    message = json.loads(body)["error"]["message"]
    assert isinstance(message, str)
    return message
