"""The embedder over real connections: closed, silent, abandoned and absent ones."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tandem_gateway.adapters.httpx_embedder import HttpxEmbedder
from tandem_gateway.errors import DeadlineExceeded, EmbedderUnavailable
from tandem_gateway.model import Embeddings
from tests.gateway.unit.answers import TEXTS, packed
from tests.support.fakes import DIM, MODEL, run
from tests.support.processes import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def over_tcp(handler: Handler, use: Callable[[HttpxEmbedder], Awaitable[None]]) -> None:
    """Run ``use`` with a client of a server on the loopback, whose connections ``handler`` answers."""

    async def test() -> None:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = HttpxEmbedder(f"http://127.0.0.1:{port}", max_connections=2)
        try:
            await use(client)
        finally:
            await client.close()
            server.close()
            await server.wait_closed()

    run(test)


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)


async def embed(client: HttpxEmbedder, timeout: float = 5.0) -> Embeddings:
    return await client.embed(TEXTS, kind="query", priority="interactive", timeout=timeout)


def test_a_connection_closed_between_two_calls_costs_the_second_nothing():
    connections: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await read_request(reader)
        body = packed()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def use(client: HttpxEmbedder) -> None:
        for _ in range(3):
            assert (await embed(client)).vectors.shape == (2, DIM)

    over_tcp(handler, use)
    assert len(connections) == 3


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"])
def test_an_embedder_that_never_ends_its_answer_is_given_up_in_time(drip: bytes):
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(drip)
        await writer.drain()
        await reader.read()
        writer.close()
        closed.set()

    async def use(client: HttpxEmbedder) -> None:
        with pytest.raises(DeadlineExceeded):
            await embed(client, timeout=0.05)
        # The request ends by its own time-out, and its connection with it.
        await closed.wait()

    over_tcp(handler, use)


def test_who_gives_up_leaves_the_request_to_its_end_and_the_pool_whole():
    released = asyncio.Event()
    started = asyncio.Semaphore(0)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        started.release()
        await released.wait()
        body = packed()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def use(client: HttpxEmbedder) -> None:
        for _ in range(2):  # as many as the pool has places
            abandoned = asyncio.create_task(embed(client))
            await started.acquire()
            abandoned.cancel()
            with pytest.raises(asyncio.CancelledError):
                await abandoned
        released.set()
        for _ in range(3):
            assert (await embed(client)).model == MODEL

    over_tcp(handler, use)


def test_nobody_at_the_address_is_unavailable_and_not_ready():
    async def test() -> None:
        client = HttpxEmbedder(f"http://127.0.0.1:{free_port()}", max_connections=2)
        with pytest.raises(EmbedderUnavailable, match="cannot be reached"):
            await embed(client)
        assert not await client.ready(timeout=1.0)
        await client.close()

    run(test)
