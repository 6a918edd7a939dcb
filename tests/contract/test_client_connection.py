"""The handler's view of its client's connection; requests are answered as ASGI demands, and leave nothing behind."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tandem_runtime.body import ClientGone, cancel_on_disconnect, read_body
from tandem_runtime.client_connection import connection_of
from tandem_runtime.edge import edge
from tandem_runtime.http import Reply
from tandem_runtime.request_id import AsgiApp, Receive, Scope, Send
from tandem_runtime.serving.connection import Connection
from tests.support.fakes import eventually
from tests.support.freed import no_collector
from tests.support.serving import serving


def post(body: bytes, *headers: bytes, method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    lines = [b"%s /x HTTP/%s" % (method, version), b"host: x", b"content-length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


@asynccontextmanager
async def talk(app: AsgiApp) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve ``app`` and connect to it."""
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()


async def response(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Return the status line, the headers and the body of one response."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
    headers = dict(line.split(b": ", 1) for line in lines)
    return first, headers, await reader.readexactly(int(headers[b"content-length"]))


class Echo:
    """Answers with the body, and records how the body arrived."""

    def __init__(self) -> None:
        self.whole: list[bool] = []
        self.begun = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        assert connection is not None
        self.whole.append(connection.body_has_arrived())
        self.begun.set()
        body = bytes(await read_body(scope, receive, 1_000_000))
        await Reply(201, body, headers=((b"retry-after", b"7"),)).send(scope, send)


async def test_a_request_in_one_piece_is_answered_whole_and_the_connection_kept():
    app, statuses = Echo(), list[int]()
    served = edge(app, observers=[lambda scope, status, seconds: statuses.append(status)])

    async with talk(served) as (reader, writer):
        for body in (b"one", b"two"):
            writer.write(post(body, b"x-request-id: mine"))
            status, headers, answer = await response(reader)
            assert (status, answer) == (b"HTTP/1.1 201 Created", body)
            assert headers[b"x-request-id"] == b"mine"
            assert headers[b"content-type"] == b"application/json"
            assert headers[b"retry-after"] == b"7"
            assert b"date" in headers
            assert b"connection" not in headers
    assert app.whole == [True, True]
    assert statuses == [201, 201]


@pytest.mark.parametrize("asked", [post(b"a", b"connection: close"), post(b"a", version=b"1.0")])
async def test_a_client_that_asks_to_close_is_disconnected(asked: bytes):
    async with talk(Echo()) as (reader, writer):
        writer.write(asked)
        _, headers, body = await response(reader)
        assert (headers[b"connection"], body) == (b"close", b"a")
        assert await reader.read() == b""


async def test_two_requests_in_one_piece_are_answered_in_their_order():
    async with talk(Echo()) as (reader, writer):
        writer.write(post(b"first") + post(b"second"))
        assert [(await response(reader))[2] for _ in range(2)] == [b"first", b"second"]


@pytest.mark.parametrize("size", [10, 300_000])
async def test_a_body_in_pieces_is_received_by_messages(size: int):
    app, body = Echo(), b"x" * size
    asked = post(body)

    async with talk(app) as (reader, writer):
        writer.write(asked[: -size + 5])
        await writer.drain()
        await app.begun.wait()
        writer.write(asked[-size + 5 :])
        assert (await response(reader))[2] == body
    assert app.whole == [False]


async def test_a_client_that_waits_for_100_continue_gets_it():
    app = Echo()

    async with talk(app) as (reader, writer):
        asked = post(b"body", b"expect: 100-continue")
        writer.write(asked[:-4])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(asked[-4:])
        assert (await response(reader))[2] == b"body"
    assert app.whole == [False]


async def test_an_answer_to_head_has_no_body():
    async with talk(Echo()) as (reader, writer):
        writer.write(post(b"", method=b"HEAD") + post(b"next"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
        assert (await response(reader))[2] == b"next"


async def test_a_disconnect_ends_the_work_and_sends_no_reply():
    gone, statuses, started = asyncio.Event(), list[int](), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, 100)

        async def work() -> None:
            started.set()
            await asyncio.Future()

        with pytest.raises(ClientGone):
            await cancel_on_disconnect(scope, receive, work())
        await Reply(200, b"").send(scope, send)  # does nothing
        # After the disconnect, a new callback is called at once.
        gone.set()

    async with talk(edge(app, observers=[lambda scope, status, seconds: statuses.append(status)])) as (_reader, writer):
        writer.write(post(b"x"))
        await started.wait()
        writer.transport.abort()
        await gone.wait()
    assert statuses == [499]


async def test_a_callback_set_after_the_disconnect_is_called_at_once():
    told, started, go_on, done = [], asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await go_on.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        connection = connection_of(scope)
        assert connection is not None
        connection.on_disconnect(lambda: told.append(True))
        done.set()

    async with talk(app) as (_reader, writer):
        writer.write(post(b"xy")[:-1])
        await started.wait()
        writer.transport.abort()
        go_on.set()
        await done.wait()
    assert told == [True]


async def test_a_request_leaves_no_cycle_of_references():
    class Marker:
        pass

    marks: list[weakref.ref[Marker]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["marker"] = marker = Marker()
        marks.append(weakref.ref(marker))
        await read_body(scope, receive, 100)
        await cancel_on_disconnect(scope, receive, asyncio.sleep(0))
        await Reply(200, b"{}").send(scope, send)

    async with talk(edge(app, observers=[lambda scope, status, seconds: None])) as (reader, writer):
        gc.collect()
        gc.disable()
        try:
            for _ in range(4):
                writer.write(post(b"x"))
                await response(reader)
        finally:
            gc.enable()
        assert [mark() is None for mark in marks] == [True, True, True, True]


async def test_a_lost_connection_leaves_no_cycle_of_references():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, 100)
        await Reply(200, b"{}").send(scope, send)

    async def connections() -> int:
        return sum(isinstance(each, Connection) for each in gc.get_objects())

    async with serving(edge(app)) as port:
        with no_collector():
            before = await connections()
            for close in (b"connection: close", b"a: b"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(post(b"x", close))
                await response(reader)
                writer.close()
            await eventually(connections, lambda count: count == before)
