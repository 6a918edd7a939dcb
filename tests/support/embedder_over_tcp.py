"""A client of an embedder whose connections a test answers itself, and an embedder's replies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import numpy as np

from tandem_contract.embed import PackedEmbedReply
from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.records.embedders import Embeddings
from tests.support.fakes import DIM, FINGERPRINT, MODEL, vectors_of
from tests.support.tcp import Handler, start_server

TEXTS = ["one", "two"]


def packed(vectors: np.ndarray | None = None, **fields: object) -> bytes:
    vectors = vectors_of(TEXTS) if vectors is None else vectors
    reply = PackedEmbedReply(
        vectors.astype("<f4").tobytes(), DIM, MODEL, FINGERPRINT, [3, 3], [False, False], [0.0, 0.0]
    )
    return msgspec.msgpack.encode(msgspec.structs.replace(reply, **fields))


@asynccontextmanager
async def over_tcp(handler: Handler) -> AsyncIterator[HttpEmbedder]:
    """A client of a server on the loopback; ``handler`` answers its connections."""
    server = await start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    client = Http1Transport(url, max_connections=2)
    try:
        yield HttpEmbedder(url, client)
    finally:
        client.close()
        server.close()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)


async def embed(client: HttpEmbedder, timeout: float = 5.0) -> Embeddings:
    return await client.embed(TEXTS, kind="query", priority="interactive", timeout=timeout)
