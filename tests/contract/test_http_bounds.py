"""The limits of a request's input: heads, trailers and chunk extensions."""

import asyncio
import logging
import socket

import pytest

from tandem_runtime.serving.reader import MAX_FIELDS, MAX_HEAD_BYTES, Head, RequestReader
from tandem_runtime.serving.refusal import Refusal
from tests.support.http_talk import CHUNKED, GET, answers_to, connect, message_of, served


def send_without_end(port: int, begin: bytes, more: bytes) -> tuple[int, bytes]:
    """Send until the server closes the connection; return the number of bytes that it read, and its response."""
    sent, said = len(begin), b""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(begin)
        try:
            while sent < 1 << 30:
                connection.sendall(more)
                sent += len(more)
        except OSError:
            pass
        try:
            while piece := connection.recv(65536):
                said += piece
        except OSError:
            pass
    return sent, said


@pytest.mark.parametrize("more", [b"a:\r\n" * 10_000, b"a" * 40_000, b"a: " + b"b" * 40_000])
@pytest.mark.parametrize("begin", [b"0\r\n", b"3\r\nabc\r\n0\r\n", b"3\r\nabc\r\n3;x="])
@pytest.mark.parametrize("reads", [True, False])
async def test_trailers_and_extensions_without_end_end_the_connection(
    monkeypatch: pytest.MonkeyPatch, more: bytes, begin: bytes, reads: bool
) -> None:
    monkeypatch.setattr("tandem_runtime.serving.flow.LINGER_BYTES", 1 << 20)

    async with served(reads=reads) as (app, port):
        sent, said = await asyncio.to_thread(send_without_end, port, CHUNKED + begin, more)
        assert sent < 32 << 20  # most of that is in the sockets' buffers
        assert said[:13] in (b"HTTP/1.1 200 ", b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b"")
        assert said.count(b"content-length") <= 1
        assert all(len(headers) == 2 for headers in app.headers)


async def test_a_trailer_never_becomes_a_header() -> None:
    async with served() as (app, port):
        app.gate.clear()
        reader, writer = await connect(port)
        writer.write(CHUNKED + b"3\r\nabc\r\n0\r\nauthorization: Bearer x\r\nx-request-id: mine\r\n\r\n" + GET % 2)
        await app.begun.wait()
        app.gate.set()
        assert b"mine" not in await reader.readuntil(b"/x")
        assert b"mine" not in await reader.readuntil(b"/2")
        assert [[name for name, _ in headers] for headers in app.headers] == [
            [b"host", b"transfer-encoding"],
            [b"host"],
        ]
        writer.close()


async def test_trailers_of_a_usual_size_are_passed_over() -> None:
    async with served() as (_app, port):
        reader, writer = await connect(port)
        for _ in range(3):
            writer.write(CHUNKED + b"3;a=b\r\nabc\r\n" * 100 + b"0\r\n" + b"a: b\r\n" * 1000 + b"\r\n")
            assert (await reader.readuntil(b"/x")).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([b"a: b"] * (MAX_FIELDS - 1), 200),
        ([b"a: b"] * MAX_FIELDS, 431),
        ([b"a: b"] * 15_000, 431),
        ([b"a: " + b"b" * (MAX_HEAD_BYTES - 100)], 200),
        ([b"a: " + b"b" * MAX_HEAD_BYTES], 431),
        ([b"a: " + b"b" * 200_000], 431),
        ([b"a" * 200_000 + b": b"], 431),
    ],
)
async def test_a_head_is_bounded_in_one_piece_and_in_many(fields: list[bytes], status: int, pieces: int) -> None:
    async with served() as (app, port):
        head = b"\r\n".join([b"GET /x HTTP/1.1", b"host: x", *fields, b"connection: close", b"", b""])
        if status == 200:  # the close header counts too
            head = head.replace(b"a: b\r\n", b"", 1)
        size = -(-len(head) // pieces)
        found = await answers_to(port, *(head[at : at + size] for at in range(0, len(head), size)))
        assert [answer[0] for answer in found] == [status]
        if status == 431:
            assert str(MAX_FIELDS) in message_of(found[0][1]) or str(MAX_HEAD_BYTES) in message_of(found[0][1])
            assert app.asked == []


async def test_a_body_behind_the_end_of_a_head_does_not_count_as_head() -> None:
    async with served() as (_app, port):
        reader, writer = await connect(port)
        writer.write(b"POST /x HT")
        await writer.drain()
        other, beside = await connect(port)  # its answer shows that the first piece was read
        beside.write(GET % 0)
        await other.readuntil(b"/0")
        writer.write(b"TP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" + bytes(200_000))
        assert (await reader.readuntil(b"/x")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        beside.close()


async def test_a_client_of_http_1_0_is_not_told_to_go_on() -> None:
    async with served() as (_app, port):
        reader, writer = await connect(port)
        writer.write(b"POST /x HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")  # 100 came with HTTP/1.1
        writer.close()


async def test_white_space_around_a_field_is_no_part_of_it() -> None:
    async with served() as (app, port):
        reader, writer = await connect(port)
        head = b"POST /x HTTP/1.1\r\nhost: x\r\nexpect:\t100-continue \t\r\ncontent-length: 1 \r\na: b c \r\n\r\n"
        writer.write(head)
        await reader.readuntil(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(b"x")
        await reader.readuntil(b"/x")
        assert app.headers == [
            [(b"host", b"x"), (b"expect", b"100-continue"), (b"content-length", b"1"), (b"a", b"b c")]
        ]
        writer.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /x HTTP/1.1\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        (b"GET /x HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET /x HTTP/1.0\r\n\r\n", 200),
        (b"GET /x HTTP/0.9\r\nhost: a\r\n\r\n", 505),
        (b"GET /x HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        (b"GET /x\r\n\r\n", 505),
        (b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n", 501),
        (CHUNKED.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n") + b"0\r\n\r\n", 501),
        (b"POST /x HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
async def test_a_head_that_the_rfc_forbids_or_that_is_not_served_is_refused(head: bytes, status: int) -> None:
    async with served() as (app, port):
        found = await answers_to(port, head)
        assert [answer[0] for answer in found] in ([status], [400])
        assert bool(app.asked) == (status == 200)


def test_a_defect_while_a_request_is_read_is_no_fault_of_the_client(caplog: pytest.LogCaptureFixture) -> None:
    class Defective:
        def begins(self) -> None:
            raise ValueError("a defect")

        def has_head(self, head: Head) -> None:
            """Is not reached."""

        def has_body(self, body: bytes) -> None:
            """Is not reached."""

        def has_end(self) -> None:
            """Is not reached."""

    with caplog.at_level(logging.ERROR), pytest.raises(Refusal) as raised:
        RequestReader(Defective()).feed(GET % 0)
    assert raised.value.status == 500
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
