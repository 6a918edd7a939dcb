"""The limits of a connection's input (heads, trailers, chunk extensions, pipelines), and of open connections."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import pytest

from tandem_runtime.body import ClientGone, read_body
from tandem_runtime.edge import edge
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope, Send
from tandem_runtime.serving.connection import MAX_WAITING
from tandem_runtime.serving.reader import MAX_FIELDS, MAX_HEAD_BYTES, Head, RequestReader
from tandem_runtime.serving.refusal import Refusal
from tests.support.fakes import eventually
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


async def test_more_connections_than_the_limit_are_refused_at_once_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with served(max_connections=2) as (_app, port):
            held = [await connect(port) for _ in range(2)]
            for reader, writer in held:
                writer.write(GET % 0 + b"GET /begun HTTP/1.1\r\n")
                await reader.readuntil(b"/0")
            for _ in range(3):
                reader, writer = await connect(port)
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nretry-after: 1\r\n" in answer
                assert b"\r\nconnection: close\r\n" in answer
                assert "TANDEM_MAX_CONNECTIONS" in message_of(answer.partition(b"\r\n\r\n")[2])
                writer.close()
            held[0][1].close()

            async def again() -> bytes:
                reader, writer = await connect(port)
                try:
                    writer.write(GET.replace(b"host", b"connection: close\r\nhost") % 1)
                    return await reader.read()
                except ConnectionError:
                    return b""
                finally:
                    writer.close()

            await eventually(again, lambda answer: answer.startswith(b"HTTP/1.1 200 "))
            held[1][1].close()
    assert [record.message for record in caplog.records] == ["refused connections"]


async def test_at_the_limit_the_connection_that_waits_longest_makes_room() -> None:
    async with served(max_connections=3) as (_app, port):
        held = [await connect(port) for _ in range(3)]
        for number in (1, 0):  # the third connection has sent nothing, but is the newest
            reader, writer = held[number]
            writer.write(GET % 7)
            await reader.readuntil(b"/7")
        for number in (2, 1, 0):
            reader, writer = await connect(port)
            writer.write(GET % 7 + b"GET /begun HTTP/1.1\r\n")  # a connection without a waiting request
            await reader.readuntil(b"/7")
            assert await held[number][0].read() == b""
            held[number][1].close()
            held.append((reader, writer))
        for _, writer in held[3:]:
            writer.close()


async def test_a_client_over_the_limit_that_is_still_sending_reads_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem_runtime.serving.refusal._MAX_LINGERING", 2)

    async with served(max_connections=0) as (_app, port):
        clients = [await connect(port) for _ in range(4)]
        for number, (reader, writer) in enumerate(clients):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            if number < 2:  # the other connections are closed at once
                for _ in range(50):
                    writer.write(bytes(100_000))
                    await writer.drain()
        for _, writer in clients:
            writer.close()


@pytest.mark.parametrize("count", [MAX_WAITING + 1, MAX_WAITING + 2, 5_000])
@pytest.mark.parametrize("request_bytes", [GET % 1, OFFER])
async def test_pipelined_requests_are_answered_in_order_and_those_over_the_limit_refused(
    count: int, request_bytes: bytes
) -> None:
    async with served() as (app, port):
        app.gate.clear()
        reader, writer = await connect(port)
        writer.write(request_bytes * count)
        await app.begun.wait()
        app.gate.set()
        if count == MAX_WAITING + 1:
            writer.write_eof()
        found = await read_answers(reader)
        assert [status for status, _ in found[: MAX_WAITING + 1]] == [200] * (MAX_WAITING + 1)
        assert [status for status, _ in found[MAX_WAITING + 1 :]] == [429] * (count > MAX_WAITING + 1)
        assert len(app.asked) == MAX_WAITING + 1
        writer.close()


async def test_waiting_requests_do_not_pile_up_their_bodies() -> None:
    async with served() as (app, port):
        app.gate.clear()
        body = b"x" * 30_000
        request = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        reader, writer = await connect(port)
        writer.write(request * MAX_WAITING)
        await app.begun.wait()
        app.gate.set()
        for _ in range(MAX_WAITING):
            assert (await reader.readuntil(b"/x")).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /2 HTTP/1.1\r\n\r\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"GET http://x:99999/2 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"POST http:///2 HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx", 400),
    ],
)
async def test_a_refusal_waits_for_the_answers_before_it(behind: bytes, status: int) -> None:
    async with served() as (app, port):
        app.gate.clear()
        reader, writer = await connect(port)
        writer.write(GET % 0 + GET % 1 + behind)
        await app.begun.wait()
        app.gate.set()
        found = await read_answers(reader)
        assert [answer[0] for answer in found] == [200, 200, status]
        assert app.asked == ["/0", "/1"]
        writer.close()


async def test_a_refusal_has_a_date() -> None:
    async with served() as (_app, port):
        reader, writer = await connect(port)
        writer.write(b"GARBAGE\r\n\r\n")
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        (date,) = [line for line in head.split(b"\r\n") if line.startswith(b"date: ")]
        sent = parsedate_to_datetime(date.removeprefix(b"date: ").decode())
        assert abs(sent.timestamp() - time.time()) < 60
        writer.close()


async def test_bad_framing_behind_an_answer_is_not_answered() -> None:
    async with served(reads=False) as (_app, port):
        reader, writer = await connect(port)
        writer.write(CHUNKED)
        assert (await reader.readuntil(b"/x")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"zz\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_a_target_that_is_no_url_is_refused_by_its_name_after_an_answer() -> None:
    async with served() as (app, port):
        reader, writer = await connect(port)
        writer.write(GET % 0)
        await reader.readuntil(b"/0")
        writer.write(b"GET http://x:99999/1 HTTP/1.1\r\nhost: x\r\n\r\n")
        ((status, body),) = await read_answers(reader)
        assert (status, json.loads(body)["error"]["param"]) == (400, "path")
        assert app.asked == ["/0"]
        writer.close()


@pytest.mark.parametrize(
    ("target", "path"), [(b"http://x", "/"), (b"http://x?a=b", "/"), (b"http://x/1?a=b", "/1"), (b"*", "*")]
)
async def test_a_target_may_name_the_server(target: bytes, path: str) -> None:
    async with served() as (_app, port):
        request = b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target
        assert await answers_to(port, request) == [(200, path.encode())]


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


async def test_bad_framing_ends_the_request_that_reads_it() -> None:
    async with served() as (app, port):
        reader, writer = await connect(port)
        writer.write(CHUNKED)
        await app.begun.wait()
        writer.write(b"zz\r\n")
        assert [status for status, _ in await read_answers(reader)] == [400]
        assert app.answered == 0
        writer.close()


async def test_every_request_of_a_lost_connection_gets_a_disconnect(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with served() as (app, port):
            app.gate.clear()
            _, writer = await connect(port)
            writer.write(GET % 0 + GET % 1 + CHUNKED)
            await app.begun.wait()
            writer.transport.abort()
            app.gate.set()
            _, other = await connect(port)
            other.write(GET % 9)

            async def asked() -> list[str]:
                return app.asked

            await eventually(asked, lambda paths: "/9" in paths)
            other.close()
    assert caplog.records == []


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
