"""An embedder that sends more than the gateway asked for: the gateway reads a bounded part and reports an error."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import msgspec
import pytest

from tandem_contract import embed as contract
from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.messages import ResponseTooLarge
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.errors import EmbedderBroken, EmbedderRejected, GatewayError, for_log
from tandem_runtime.replies import error_reply
from tests.support.embedder_over_tcp import embed, over_tcp, packed, read_request
from tests.support.fakes import MODEL
from tests.support.tcp import start_server

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
MIB = b"x" * (1 << 20)


def forever(start: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield start
        while True:
            yield piece

    return pieces


def headers() -> Iterator[bytes]:
    yield OK
    number = 0
    while True:
        yield b"".join(b"h%d:\r\n" % (number + place) for place in range(1000))
        number += 1000


async def fails_with(pieces: Callable[[], Iterator[bytes]]) -> GatewayError:
    """Return the error of a call whose embedder sends this endlessly."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        with contextlib.suppress(ConnectionError):
            for piece in pieces():
                writer.write(piece)
                await writer.drain()
            await reader.read()
        writer.close()

    async with over_tcp(handler) as client:
        with pytest.raises(GatewayError) as caught:
            await embed(client, timeout=20.0)
    return caught.value


@pytest.mark.parametrize(
    "pieces",
    [
        headers,
        forever(OK + b"x: ", MIB),
        forever(OK + b"y", MIB),
        forever(b"HTTP/1.1 200 ", MIB),
        forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        forever(CHUNKED + b"4\r\nbody\r\n0\r\n", b"a: b\r\n" * 10_000),
        forever(CHUNKED + b"4\r\nbody\r\n0\r\nx: ", MIB),
        forever(CHUNKED + b"4;", MIB),
    ],
    ids=["headers", "a header", "a name", "a reason", "interim answers", "trailers", "a trailer", "a chunk extension"],
)
async def test_a_head_or_trailer_without_end_is_cut_off(pieces: Callable[[], Iterator[bytes]]):
    error = await fails_with(pieces)
    assert isinstance(error, EmbedderBroken)
    assert "head" in for_log(error)
    assert "16384 bytes" in for_log(error)


@pytest.mark.parametrize(
    "pieces",
    [
        forever(OK + b"content-length: 250000000\r\n\r\n", MIB),
        forever(CHUNKED, b"100000\r\n" + MIB + b"\r\n"),
        forever(CHUNKED, b"1\r\nx\r\n" * 10_000),
        forever(OK + b"\r\n", MIB),
        lambda: iter([OK + b"content-length: 250000000\r\n\r\n"]),
        forever(b"HTTP/1.1 500 No\r\ncontent-length: 100000\r\n\r\n", MIB),
    ],
    ids=["with a length", "in chunks", "in tiny chunks", "until the end", "only announced", "an error"],
)
async def test_a_body_larger_than_any_answer_to_the_question_is_not_read(pieces: Callable[[], Iterator[bytes]]):
    error = await fails_with(pieces)
    assert isinstance(error, EmbedderBroken)
    assert "at most" in for_log(error)


async def test_as_many_vectors_as_asked_of_the_largest_dimension_are_read():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"content-length: %d\r\n\r\n" % most + b"x" * most)
        await writer.drain()
        writer.close()

    most = 2 * contract.MAX_DIM * 4 + (64 << 10)
    server = await start_server(handler, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = Http1Transport(url, max_connections=1)
    for less in (0, 1):
        request = client.call("POST", "/x", {}, b"", timeout=5.0, fresh=True, max_bytes=most - less)
        if less:
            with pytest.raises(ResponseTooLarge, match=f"{most - 1} bytes"):
                await request
        else:
            assert len((await request).body) == most
    with pytest.raises(EmbedderBroken, match="cannot be read"):
        await HttpEmbedder(url, client).embed(["one", "two"], kind="query", priority="bulk", timeout=5.0)
    client.close()
    server.close()
    await server.wait_closed()


async def answering(status: int, body: bytes) -> GatewayError:
    return await fails_with(lambda: iter([b"HTTP/1.1 %d A\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body]))


@pytest.mark.parametrize("name", ["model", "fingerprint"])
@pytest.mark.parametrize("text", ["m" * 129, ""])
async def test_a_name_that_is_empty_or_too_long_is_broken(name: str, text: str):
    error = await answering(200, packed(**{name: text}))
    assert isinstance(error, EmbedderBroken)
    assert name in for_log(error)
    assert len(for_log(error)) < 500


async def test_a_name_of_128_characters_is_taken():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        body = packed(fingerprint="f" * 128)
        writer.write(OK + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        await reader.read()
        writer.close()

    async with over_tcp(handler) as client:
        found = await embed(client)
        assert (found.model, len(found.fingerprint)) == (MODEL, 128)


async def test_a_dimension_over_the_contracts_is_broken():
    error = await answering(200, packed(dim=contract.MAX_DIM + 1))
    assert isinstance(error, EmbedderBroken)
    assert "dim" in for_log(error)


async def test_unread_fields_are_not_decoded():
    reply = msgspec.msgpack.decode(packed())
    reply["something new"] = {"a": [[[1]]] * 1000}

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        body = msgspec.msgpack.encode(reply)
        writer.write(OK + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        await reader.read()
        writer.close()

    async with over_tcp(handler) as client:
        assert (await embed(client)).model == MODEL


@pytest.mark.parametrize("message", ["m" * 50_000, "\x00\n" * 5_000])
async def test_an_error_message_is_cut(message: str):
    error = await answering(422, error_reply("invalid_field", message))
    assert isinstance(error, EmbedderRejected)
    assert len(for_log(error)) < 400


async def test_the_probe_reads_no_large_answer(caplog: pytest.LogCaptureFixture):
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        with contextlib.suppress(ConnectionError):
            for piece in forever(OK + b"\r\n", MIB)():
                writer.write(piece)
                await writer.drain()
        writer.close()

    async with over_tcp(handler) as client:
        assert (await client.probe(timeout=20.0)).found == "unreachable"
    assert caplog.messages == ["an embedder cannot be reached"]


async def test_a_second_answer_is_not_taken_for_that_to_the_next_request():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await read_request(reader)
        writer.write((OK + b"content-length: 5\r\n\r\nfirst") + (OK + b"content-length: 6\r\n\r\nsec"))
        await reader.read()
        writer.close()

    connections: list[int] = []
    server = await start_server(handler, "127.0.0.1", 0)
    client = Http1Transport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_connections=1)
    for _ in range(2):
        assert (await client.call("POST", "/x", {}, b"", timeout=5.0)).body == b"first"
    assert len(connections) == 2
    client.close()
    server.close()
    await server.wait_closed()


async def test_a_connection_that_brought_a_large_answer_in_one_piece_is_used_again():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await read_request(reader)
                writer.write(OK + b"content-length: 60000\r\n\r\n" + b"x" * 60_000)
        writer.close()

    connections: list[int] = []
    server = await start_server(handler, "127.0.0.1", 0)
    client = Http1Transport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_connections=1)
    for _ in range(5):
        assert len((await client.call("POST", "/x", {}, b"", timeout=5.0)).body) == 60_000
    assert len(connections) == 1
    client.close()
    server.close()
    await server.wait_closed()
