"""A server on a socket; a test's handler answers its connections."""

import asyncio
from collections.abc import Awaitable, Callable
from ssl import SSLContext

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def start_server(handler: Handler, host: str, port: int, *, ssl: SSLContext | None = None) -> asyncio.Server:
    """Like ``asyncio.start_server``, but closes a connection when its handler ends or the test cancels the handler."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    return await asyncio.start_server(closing, host, port, ssl=ssl)
