"""A failed call to an embedder frees its batch at once: its error must not keep itself alive."""

import asyncio
import gc
import weakref
from collections.abc import Sequence

import pytest

from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolSettings
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_tools.process import free_port
from tests.support.embedder_over_tcp import read_request
from tests.support.freed import Batch, assert_gone, failure_of, no_collector
from tests.support.tcp import Handler, start_server


def sending(answer: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return handler


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


ANSWERS: dict[str, Handler] = {
    "closed": sending(b""),
    "cut off": sending(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
    "not HTTP": sending(b"garbage\r\n\r\n"),
    "not ready": sending(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"),
    "no vectors": sending(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
    "late": silent,
}


def make_pool(ports: Sequence[int]) -> EmbedderPool:
    def connect(address: Address) -> HttpEmbedder:
        return HttpEmbedder(address.url, Http1Transport(address.url, address=address.ip, max_connections=2))

    return EmbedderPool(
        "stable", [f"http://127.0.0.1:{port}" for port in ports], connect, settings=PoolSettings(attempt=0.1)
    )


async def assert_a_failed_call_is_freed(pool: EmbedderPool, timeout: float) -> None:
    async def call() -> object:
        batch = Batch(["one", "two"])
        batches.append(weakref.ref(batch))
        return await pool.embed(batch, kind="document", priority="bulk", timeout=timeout)

    batches: list[weakref.ref[Batch]] = []
    with no_collector():
        errors = await failure_of(call)
        await assert_gone([*batches, *errors])


@pytest.mark.parametrize("replicas", [1, 2])
async def test_no_embedder_is_there(replicas: int):
    pool = make_pool([free_port() for _ in range(replicas)])
    await assert_a_failed_call_is_freed(pool, 5.0)
    pool.close()


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("handler", ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_embedder_fails(handler: Handler, replicas: int):
    servers = [await start_server(handler, "127.0.0.1", 0) for _ in range(replicas)]
    pool = make_pool([server.sockets[0].getsockname()[1] for server in servers])
    try:
        await assert_a_failed_call_is_freed(pool, 0.2 if handler is silent else 5.0)
    finally:
        pool.close()
        for server in servers:
            server.close()
            await server.wait_closed()


async def test_an_idle_connection_keeps_no_answer():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody")
        await reader.read()
        writer.close()

    server = await start_server(handler, "127.0.0.1", 0)
    client = Http1Transport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_connections=1)
    response = await client.call("GET", "/", {}, b"", timeout=5.0)
    assert response.body == b"body"
    (connection,) = client._idle
    assert response not in gc.get_referents(connection)
    client.close()
    server.close()
    await server.wait_closed()
