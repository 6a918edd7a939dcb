"""The end of a connection: the server holds an unread response for a bounded time, and its memory counts until then."""

import asyncio
import gc
import http.client
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable

import pytest

from tandem_contract.decoding import InvalidMessage
from tandem_runtime.body import ClientGone, cancel_on_disconnect, read_body
from tandem_runtime.client_connection import connection_of
from tandem_runtime.http import Reply, refusal
from tandem_runtime.memory import FREE_BYTES, MemoryBudget
from tandem_runtime.request_id import Receive, Scope, Send
from tandem_runtime.serving.connection import Connection
from tandem_runtime.serving.flow import ConnectionFlow
from tandem_runtime.serving.read_rate import ReadRate
from tests.support.fakes import eventually
from tests.support.freed import assert_gone, no_collector
from tests.support.serving import serving

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LARGE = 32 << 20
"""More bytes than the buffers of two sockets hold."""


class Answers:
    """Answers with many bytes, for which it holds a lease."""

    def __init__(self) -> None:
        self.budget = MemoryBudget(1 << 30, "TANDEM_SOMETHING")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lease = self.budget.lease()
        lease.hold(LARGE)
        await Reply(200, bytes(LARGE), lease=lease).send(scope, send)

    async def held(self) -> int:
        return self.budget.held


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_large_answer_counts_until_the_client_reads_it_or_disconnects(leaves: bool, method: bytes) -> None:
    app = Answers()

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET.replace(b"GET", method))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % LARGE in head
        if method == b"GET":
            assert app.budget.held == LARGE - FREE_BYTES
            if not leaves:
                await reader.readexactly(LARGE)
        writer.close()
        await eventually(app.held, lambda held: held == 0)


@pytest.mark.parametrize("leaves", [True, False])
async def test_an_answer_behind_one_that_is_not_read_counts_as_well(leaves: bool) -> None:
    app = Answers()

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET * 2)
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            assert app.budget.held >= LARGE - FREE_BYTES
            if leaves:
                break
            await reader.readexactly(LARGE)
        writer.close()
        await eventually(app.held, lambda held: held == 0)


@pytest.mark.parametrize("sent", [GET, GET * 3, GET.replace(b"host", b"connection: close\r\nhost")])
async def test_a_client_that_stops_reading_is_cut_off(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionFlow, "rate", ReadRate(stall_seconds=0.05))
    app = Answers()

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        await reader.readuntil(b"\r\n\r\n")
        await eventually(app.held, lambda held: held == 0)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(LARGE)
        writer.close()


class SlowTransport:
    """A transport whose write buffer a test fills and drains."""

    def __init__(self) -> None:
        self.unsent = 100_000
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


class Timers:
    """An event loop's clock and timers under a test's control."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []
        self.now = 0.0
        self.seconds = 0.0

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> "Timers":
        self.seconds = seconds
        self.callbacks.append(callback)
        return self

    def run_out(self) -> None:
        self.now += self.seconds
        self.callbacks.pop()()

    def cancel(self) -> None:
        self.callbacks.clear()


def test_a_client_that_reads_slowly_is_waited_for() -> None:
    transport, timers = SlowTransport(), Timers()
    flow = ConnectionFlow(transport, timers)  # type: ignore[arg-type]
    assert timers.callbacks == []
    flow.pause_writing()
    for transport.unsent in range(99_999, 99_980, -1):
        timers.run_out()
        assert len(timers.callbacks) == 1
        assert not transport.aborted
    since = timers.now
    while not transport.aborted:
        timers.run_out()
    assert timers.now - since == 30


def test_a_client_that_reads_a_large_answer_too_slowly_is_disconnected_and_one_at_a_megabit_is_not() -> None:
    ended = {}
    for kilobytes in (60, 125):  # a second
        transport, timers = SlowTransport(), Timers()
        transport.unsent = 13 << 20
        flow = ConnectionFlow(transport, timers)  # type: ignore[arg-type]
        flow.pause_writing()
        while timers.callbacks:
            transport.unsent = max(0, transport.unsent - int(timers.seconds * kilobytes * 1000))
            timers.run_out()
        ended[kilobytes] = (transport.aborted, timers.now)
    assert ended[60][0]
    assert ended[60][1] <= 60
    assert not ended[125][0]


def test_a_second_answer_on_the_connection_is_not_taken_for_a_client_that_reads_nothing() -> None:
    transport, timers = SlowTransport(), Timers()
    flow = ConnectionFlow(transport, timers)  # type: ignore[arg-type]
    flow.pause_writing()
    for _ in range(20):
        transport.unsent += 3_000_000
        timers.run_out()
        transport.unsent -= 3_000_000
        timers.run_out()
    assert not transport.aborted


def test_a_connection_that_has_drained_has_no_timer() -> None:
    timers = Timers()
    flow = ConnectionFlow(SlowTransport(), timers)  # type: ignore[arg-type]
    flow.pause_writing()
    flow.resume_writing()
    assert timers.callbacks == []


async def limited(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts a body of at most 1000 bytes."""
    try:
        body = await read_body(scope, receive, 1000)
        reply = Reply(200, b"%d" % len(body))
    except InvalidMessage as error:
        reply = refusal(error.code, str(error), error.param)
    await reply.send(scope, send)


@pytest.mark.parametrize("size", [1001, 17_000_000, 100_000_000])
async def test_a_client_that_sends_a_large_body_and_closes_reads_the_refusal(size: int) -> None:
    def post(port: int) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=bytes(size), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code if b"1000 bytes" in error.read() else 0

    async with serving(limited) as port:
        assert await asyncio.to_thread(post, port) == 413


async def test_a_client_that_keeps_the_connection_reads_the_refusal_and_may_go_on() -> None:
    def post(port: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        statuses = []
        for size in (10, 5_000_000, 10):
            connection.request("POST", "/", bytes(size))
            with connection.getresponse() as response:
                response.read()
                statuses.append(response.status)
        connection.close()
        return statuses

    async with serving(limited) as port:
        assert await asyncio.to_thread(post, port) == [200, 413, 200]


async def test_a_client_that_expects_100_continue_for_too_large_a_body_gets_the_refusal_instead() -> None:
    async with serving(limited) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 200000000\r\n\r\n")
        answer = await reader.read()  # until the close: the server would take the next head for the body
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in answer
        writer.close()


async def test_dropping_further_input_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionFlow, "linger_seconds", 0.05)

    async with serving(limited) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2000\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 413 ")

        async def sends() -> bool:
            writer.write(b"x")
            return not writer.transport.is_closing()

        await eventually(sends, lambda sending: not sending)
        writer.close()


@pytest.mark.parametrize("gated", [True, False])
async def test_a_client_that_closes_its_side_still_gets_its_answers(
    gated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "half_closed_seconds", 30.0)
    gate, begun = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, 100)
        begun.set()
        if gated:
            await cancel_on_disconnect(scope, receive, gate.wait())
        await Reply(200, b"{}").send(scope, send)

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET * 2 + b"GET / HT")
        writer.write_eof()
        await begun.wait()
        gate.set()
        answers = await reader.read()
        assert answers.count(b"HTTP/1.1 200 ") == 2
        assert answers.endswith(b"{}")
        writer.close()


async def test_a_response_without_an_end_ends_at_once_when_its_client_closes_its_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "half_closed_seconds", 3600.0)
    gone, begun = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, 100)
        connection = connection_of(scope)
        assert connection is not None
        connection.streams()
        begun.set()
        try:
            await cancel_on_disconnect(scope, receive, asyncio.Event().wait())
        except ClientGone:
            gone.set()

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await begun.wait()
        writer.write_eof()
        await gone.wait()
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("whole", [True, False])
async def test_work_for_a_client_that_has_closed_its_side_ends_soon(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "half_closed_seconds", 0.05)
    gone, begun = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await read_body(scope, receive, 100)
            await cancel_on_disconnect(scope, receive, asyncio.Event().wait())
        except ClientGone:
            gone.set()

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET if whole else b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabc")
        await begun.wait()
        writer.write_eof()
        await gone.wait()
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    ("sent", "begins"),
    [
        (b"", False),
        (b"GET / HTT", False),
        (b"GARBAGE\r\n\r\n", False),
        (GET, True),
        (GET + b"GET / HTT", True),
        (GET * 3, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", True),
        (b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 9\r\n\r\nabc", True),
    ],
)
async def test_a_lost_connection_leaves_nothing_for_the_collector(sent: bytes, begins: bool) -> None:
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await read_body(scope, receive, 100)
            await cancel_on_disconnect(scope, receive, asyncio.Event().wait())
        except ClientGone:
            return

    async with serving(app) as port:
        with no_collector():
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)

            async def connections() -> list[weakref.ref[object]]:
                return [weakref.ref(each) for each in gc.get_objects() if isinstance(each, Connection)]

            writer.write(sent)
            if begins:
                await begun.wait()
            held = await eventually(connections, lambda found: len(found) == 1)
            writer.transport.abort()
            await assert_gone(held)


async def test_a_connection_with_an_unread_answer_counts_and_makes_no_room() -> None:
    app = Answers()
    async with serving(app, max_connections=1) as port:
        slow, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await eventually(app.held, lambda held: held > 0)
        reader, other = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        other.close()
        await slow.readuntil(b"\r\n\r\n")
        assert len(await slow.readexactly(LARGE)) == LARGE  # was not cut off
        await eventually(app.held, lambda held: held == 0)
        reader, other = await asyncio.open_connection("127.0.0.1", port)
        other.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await slow.read() == b""  # and made room once it was read
        other.close()
        writer.close()
