"""A connection with a refusal after open requests still reads: it drops the input, and notices a disconnect."""

import asyncio
import gc
from collections.abc import Callable

import pytest

from tandem_runtime.body import ClientGone, cancel_on_disconnect, read_body
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope, Send
from tandem_runtime.serving.connection import MAX_WAITING, Connection
from tests.support.fakes import eventually
from tests.support.http_talk import GET, answers_to, connect, read_answers
from tests.support.serving import serving

GARBAGE = b"GARBAGE\r\n\r\n"
HALF = b"POST /half HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnot a size\r\n"


class Waits:
    """Answers with the path once a test releases it, unless the client disconnects first."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.gone: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, 1_000_000)
        self.begun.set()
        try:
            await cancel_on_disconnect(scope, receive, self.gate.wait())
        except ClientGone:
            self.gone.append(scope["path"])
            return
        await Reply(200, scope["path"].encode()).send(scope, send)


def abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("leave", [abort, close])
@pytest.mark.parametrize(
    "refused",
    [GARBAGE, HALF, GET % 1 + GARBAGE, GET % 1 + GET % 2 + HALF, b"".join(GET % n for n in range(1, MAX_WAITING + 2))],
    ids=["garbage", "half", "waiting", "waiting half", "too many"],
)  # fmt: skip
async def test_a_disconnect_ends_the_open_request_at_once(
    refused: bytes, leave: Callable[[asyncio.StreamWriter], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "half_closed_seconds", 0.05)
    app = Waits()
    async with serving(app) as port:
        _, writer = await connect(port)
        writer.write(GET % 0)
        await app.begun.wait()
        writer.write(refused)
        await writer.drain()
        for _ in range(4):
            writer.write(bytes(250_000))  # what the client sends after the refusal is dropped
            await writer.drain()
        leave(writer)

        async def gone() -> list[str]:
            return app.gone

        await eventually(gone, lambda paths: "/0" in paths)


@pytest.mark.parametrize("refused", [GARBAGE, HALF])
async def test_the_responses_and_the_refusal_arrive_after_much_dropped_input(refused: bytes) -> None:
    app = Waits()
    async with serving(app) as port:
        reader, writer = await connect(port)
        writer.write(GET % 0 + GET % 1 + refused)
        for _ in range(40):
            writer.write(bytes(250_000))
            await writer.drain()
        app.gate.set()
        answers = await read_answers(reader)
        assert answers[:-1] == [(200, b"/0"), (200, b"/1")]
        assert answers[-1][0] == 400
        writer.close()


async def paused() -> list[bool]:
    """Return whether each connection of the process has paused reading."""
    return [not each._transport.is_reading() for each in gc.get_objects() if isinstance(each, Connection)]


async def test_dropped_input_is_bounded_and_a_pause_keeps_the_open_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem_runtime.serving.flow.LINGER_BYTES", 300_000)
    app = Waits()
    async with serving(app) as port:
        reader, writer = await connect(port)
        writer.write(GET % 0 + GET % 1 + GARBAGE)
        await app.begun.wait()
        writer.write(bytes(50_000_000))  # more than the kernel's buffers hold
        await eventually(paused, any)
        app.gate.set()
        received = b""
        while b"/1" not in received:
            piece = await reader.read(10_000)
            assert piece
            received += piece
        assert received.count(b"HTTP/1.1 200 ") == 2
        writer.transport.abort()


async def test_a_client_that_closes_its_side_after_a_refused_request_gets_its_answers() -> None:
    app = Waits()
    app.gate.set()
    async with serving(app) as port:
        reader, writer = await connect(port)
        writer.write(GET % 0 + GET % 1 + GET % 2 + GARBAGE)
        writer.write_eof()
        assert [status for status, _ in await read_answers(reader)] == [200, 200, 200, 400]
        writer.close()
        assert [status for status, _ in await answers_to(port, GET % 3 + GARBAGE)] == [200, 400]
