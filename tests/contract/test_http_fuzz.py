"""For any bytes in any pieces, a connection answers in order, with well-formed responses and within its limits."""

import asyncio
import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from tandem_contract.decoding import InvalidMessage
from tandem_runtime.body import ClientGone, read_body
from tandem_runtime.http import Reply, refusal
from tandem_runtime.request_id import Receive, Scope, Send
from tandem_runtime.serving.connection import MAX_BODY_BYTES, MAX_WAITING, Connection
from tandem_runtime.serving.connection_limit import ConnectionLimit
from tandem_runtime.serving.reader import MAX_FIELDS
from tests.support.fakes import run, turns

pytestmark = pytest.mark.fuzz

BODY_LIMIT = 200_000
READ_BYTES = 256 << 10
"""Maximum bytes that a transport reads at a time."""


class Data:
    """Bytes whose long runs hypothesis abbreviates."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return re.sub(r"(\\x..|.)\1{30,}", lambda run: f"<{len(run[0]) // len(run[1])} x {run[1]}>", repr(self.data))


class Transport(asyncio.Transport):
    """Accepts all written bytes at once, and loses the connection one turn of the event loop after ``close``."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Connection | None = None
        self.written = b""
        self.ended = False  # for sending
        self.paused = False
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.ended
        if not self.closing:
            self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.closing
        self.ended = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.lose)

    abort = close

    def lose(self) -> None:
        self.closing = True
        lost, self.protocol = self.protocol, None
        if lost is not None:
            lost.connection_lost(None)

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert self.protocol is not None
        self.paused = True

    def resume_reading(self) -> None:
        assert self.protocol is not None
        self.paused = False


@dataclass
class App:
    """Answers with the request's number, after some turns of the event loop."""

    waits: Sequence[int]
    reads: Sequence[bool]
    begun: int = 0
    fields: list[int] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        number = self.begun
        self.begun += 1
        self.fields.append(len(scope["headers"]))
        reply = Reply(200, b"%d" % number)
        if self.reads[number % len(self.reads)]:
            try:
                await read_body(scope, receive, BODY_LIMIT)
            except InvalidMessage as error:
                reply = refusal(error.code, str(error), error.param)
            except ClientGone:
                return
        await turns(self.waits[number % len(self.waits)])
        await reply.send(scope, send)


RESPONSE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[a-z0-9-]+: [^\r\n]*\r\n)*)\r\n")


@dataclass
class Response:
    """A response as a client reads it."""

    status: int
    body: bytes
    last: bool


def parsed(written: bytes, heads: Sequence[bool]) -> list[Response]:
    """Return responses; ``heads`` marks the requests with the method HEAD."""
    found: list[Response] = []
    while written:
        match = RESPONSE.match(written)
        assert match is not None, written[:300]
        status = int(match[1])
        written = written[match.end() :]
        if status == 100:
            continue
        headers = dict(line.split(b": ", 1) for line in match[2].splitlines())
        length = int(headers[b"content-length"])
        answered = sum(response.status == 200 or response.status == 413 for response in found)
        if status in (200, 413) and answered < len(heads) and heads[answered]:
            length = 0
        assert len(written) >= length
        found.append(Response(status, written[:length], headers.get(b"connection") == b"close"))
        written = written[length:]
    return found


async def talk(app: App, pieces: Sequence[bytes], pauses: Sequence[int], ends: str) -> list[Response]:
    """Send pieces to a connection, with turns of the event loop between them; check the invariants."""
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    heads: list[bool] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        heads.append(scope["method"] == "HEAD")
        await app(scope, receive, send)

    class Limited(Connection):
        limit = ConnectionLimit(10, "TANDEM_MAX_CONNECTIONS")

    config = uvicorn.Config(noting, interface="asgi3", http=Limited, ws="none", log_config=None, access_log=False)
    state, transport = ServerState(), Transport()
    connection = Limited(config=config, server_state=state, app_state={}, _loop=loop)
    transport.protocol = connection
    connection.connection_made(transport)
    for number, piece in enumerate(pieces):
        for _ in range(1000):
            if transport.closing or not transport.paused:
                break
            await turns(1)
        if transport.closing:
            break
        assert not transport.paused
        connection.data_received(piece)
        assert len(connection._waiting) <= MAX_WAITING
        assert connection._waiting_bytes() <= MAX_BODY_BYTES + len(piece)
        assert len(connection._reader._headers) <= MAX_FIELDS
        await turns(pauses[number % len(pauses)])
    if ends == "eof" and not transport.closing and not transport.paused and not connection.eof_received():
        transport.close()
    for _ in range(100):
        await turns(4)
        if not state.tasks:
            break
    if ends == "gone" or not transport.closing:
        transport.lose()
    for _ in range(20):
        await turns(4)
        if not state.tasks:
            break
    assert not state.tasks
    assert not connection.flow._leases
    assert not connection._waiting
    assert not state.connections
    assert not connection._open
    assert not connection.limit.idle
    assert faults == []
    found = parsed(transport.written, heads)
    served = [response for response in found if response.status in (200, 413)]
    numbers = [int(response.body) for response in served if response.status == 200 and response.body]
    assert numbers == sorted(set(numbers))
    assert len(served) <= app.begun
    assert len(found) <= len(served) + 1
    assert not any(response.last for response in found[:-1])
    assert all(response.last for response in found if response.status not in (200, 413))
    return found


methods = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS"])
extras = st.lists(
    st.sampled_from(
        [
            b"a: b",
            b"expect: 100-continue",
            b"connection: keep-alive",
            b"connection: upgrade\r\nupgrade: h2c",
            b"accept: " + b"x" * 300,
            b"x-empty:",
        ]
    ),
    max_size=4,
)
bodies = st.one_of(st.binary(max_size=40), st.integers(0, 90_000).map(bytes))


@st.composite
def lengths(draw: st.DrawFn) -> Data:
    """A valid request with a content-length."""
    body = draw(bodies)
    lines = [draw(methods) + b" /x HTTP/1.1", b"host: x", *draw(extras)]
    if body or draw(st.booleans()):
        lines.append(b"content-length: %d" % len(body))
    return Data(b"\r\n".join(lines) + b"\r\n\r\n" + body)


@st.composite
def chunks(draw: st.DrawFn) -> Data:
    """A valid request with a chunked body, some with extensions and trailers."""
    lines = [draw(methods) + b" /x HTTP/1.1", b"host: x", b"transfer-encoding: chunked", *draw(extras)]
    request = b"\r\n".join(lines) + b"\r\n\r\n"
    for body in draw(st.lists(bodies.filter(bool), max_size=4)):
        request += b"%x" % len(body) + draw(st.sampled_from([b"", b";a=b", b";a=" + b"x" * 200]))
        request += b"\r\n" + body + b"\r\n"
    trailers = draw(st.lists(st.sampled_from([b"a: b\r\n", b"authorization: x\r\n" * 150]), max_size=3))
    return Data(request + b"0\r\n" + b"".join(trailers) + b"\r\n")


valid = st.lists(lengths() | chunks(), min_size=1, max_size=6)
noise = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"\r\n",
            b"\n",
            b":",
            b" HTTP/1.1\r\n",
            b"0\r\n\r\n",
            b"content-length: 5\r\n",
            b"transfer-encoding: gzip\r\n",
            b"host: y\r\n",
            b"connection: close\r\n",
            b"upgrade: x\r\n",
            b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /x HTTP/1.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n" * 40,
            b"a: b\r\n" * 120,
            b"x" * 200_000,  # over every limit, wherever the pieces begin
            b"GET http://x/%ff HTTP/1.1\r\nhost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
        ]
    ),
)


@st.composite
def mutated(draw: st.DrawFn) -> Data:
    """Valid requests in which some bytes are removed, replaced or inserted."""
    data = b"".join(request.data for request in draw(valid))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(len(data), 600)))
        data = data[:at] + draw(noise) + data[at + draw(st.integers(0, 5)) :]
    return Data(data)


def cut_up(whole: Data, places: Sequence[int]) -> list[bytes]:
    data = whole.data
    ends = sorted({len(data), *range(0, len(data), READ_BYTES), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in itertools.pairwise(ends)]


places = st.lists(st.integers(0, 1 << 20) | st.integers(0, 300), max_size=8)
small = st.lists(st.integers(0, 4), min_size=1, max_size=4)
flags = st.lists(st.booleans(), min_size=1, max_size=4)
ends = st.sampled_from(["eof", "gone", "quiet"])


@pytest.fixture(autouse=True)
def no_error_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if uvicorn logs an exception of the application."""
    with caplog.at_level(logging.ERROR):
        yield
    assert caplog.get_records("call") == []


@given(
    data=mutated() | st.binary(max_size=400).map(Data),
    places=places,
    waits=small,
    pauses=small,
    reads=flags,
    end=ends,
)
def test_any_bytes_in_any_pieces(
    data: Data, places: list[int], waits: list[int], pauses: list[int], reads: list[bool], end: str
) -> None:
    app = App(waits, reads)
    run(partial(talk, app, cut_up(data, places), pauses, end))
    assert all(count <= MAX_FIELDS for count in app.fields)


@given(requests=valid, places=places, waits=small, pauses=small, end=st.sampled_from(["eof", "quiet"]))
def test_every_valid_request_is_answered(
    requests: list[Data], places: list[int], waits: list[int], pauses: list[int], end: str
) -> None:
    app = App(waits, [True])
    found = run(partial(talk, app, cut_up(Data(b"".join(request.data for request in requests)), places), pauses, end))
    statuses = [response.status for response in found]
    closed = next((place for place, response in enumerate(found) if response.last), len(requests) - 1)
    assert all(status in (200, 413) for status in statuses)
    assert len(found) == min(len(requests), closed + 1)


@given(data=mutated(), places=places)
def test_the_answers_do_not_hang_on_the_pieces(data: Data, places: list[int]) -> None:
    whole = run(partial(talk, App([0], [True]), cut_up(data, []), [0], "quiet"))
    pieces = run(partial(talk, App([0], [True]), cut_up(data, places), [0], "quiet"))
    assert statuses_of(whole) == statuses_of(pieces)


def statuses_of(found: Sequence[Response]) -> list[int]:
    """Return the statuses, with 400 for every refusal: the pieces decide which of two faults is seen first."""
    return [response.status if response.status in (200, 413) else 400 for response in found]
