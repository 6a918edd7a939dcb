"""Requests that share a connection: their order, their limits, and the end of the connection after a bad one."""

import json
import logging
import time
from email.utils import parsedate_to_datetime

import pytest

from tandem_runtime.serving.connection import MAX_WAITING
from tests.support.fakes import eventually
from tests.support.http_talk import CHUNKED, GET, OFFER, answers_to, connect, read_answers, served


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
