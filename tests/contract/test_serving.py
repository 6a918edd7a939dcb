"""The connection of both services limits the time for a request's head, without any effect on other connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope, Send
from tandem_runtime.serving import connection
from tests.support.fakes import eventually
from tests.support.serving import serving

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Served:
    """An application behind the real server, on its own socket."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0
        self.port = 0

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        while (await receive()).get("more_body"):
            pass
        await self.gate.wait()
        await Reply(200, b"{}").send(scope, send)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    async with serving(made.app) as made.port:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short timeout for a head."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_half_a_head_gets_408_and_silence_nothing(served: Served) -> None:
    for sent, answer in ((b"GET / HT", b"HTTP/1.1 408 "), (GET[:-2], b"HTTP/1.1 408 "), (b"", b""), (b"\r\n", b"")):
        reader, writer = await served.connect()
        writer.write(sent)
        assert (await reader.read()).startswith(answer)
        writer.close()
    assert served.asked == 0


@pytest.mark.usefixtures("impatient")
async def test_the_second_head_of_a_connection_is_bounded_as_the_first(served: Served) -> None:
    for sent, answer in ((b"GET / HT", b"HTTP/1.1 408 "), (b"\r\n", b"")):
        reader, writer = await served.connect()
        writer.write(GET)
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 ")
        writer.write(sent)
        rest = await reader.read()
        assert rest.startswith(answer)
        assert bool(rest) == bool(answer)
        writer.close()


@pytest.mark.usefixtures("impatient")
async def test_a_request_that_is_served_and_an_idle_connection_have_more_time(served: Served) -> None:
    served.gate.clear()
    reader, writer = await served.connect()
    idle_reader, idle = await served.connect()
    served.gate.set()
    idle.write(GET)
    await idle_reader.readuntil(b"{}")
    served.gate.clear()
    writer.write(GET + GET[:9])  # and half of a second
    other, late = await served.connect()
    assert await other.read() == b""  # so that the timeout for a head has passed
    served.gate.set()
    answers = await reader.read()
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"{}HTTP/1.1 408 " in answers
    idle.write(GET)
    assert (await idle_reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 ")
    for each in (writer, idle, late):
        each.close()


async def test_a_head_in_pieces_is_put_together(served: Served) -> None:
    reader, writer = await served.connect()
    for _ in range(2):
        for place in range(0, len(GET), 5):
            writer.write(GET[place : place + 5])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert served.asked == 2


async def test_a_waiting_request_does_not_begin_after_the_end_of_a_drain() -> None:
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        status = 200
        if scope["path"] == "/0":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                status = 503
        await Reply(status, b"{}").send(scope, send)

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(3)))
        await eventually(lambda: asyncio.sleep(0, asked), lambda paths: paths == ["/0"])
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert asked == ["/0"]
    writer.close()
