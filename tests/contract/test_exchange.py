"""The response on the wire is the one the application sent. A client can tell that a response is incomplete."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tandem_runtime.edge import edge
from tandem_runtime.request_id import Message, Receive, Scope, Send
from tests.support.serving import serving

Sends = Callable[[Send], Coroutine[Any, Any, None]]


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def sending(*messages: Message) -> Sends:
    async def sends(send: Send) -> None:
        for message in messages:
            await send(message)

    return sends


async def answer(sends: Sends, method: bytes = b"GET") -> bytes:
    """Return what one client reads until the server closes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sends(send)

    async with serving(edge(app)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(method + b" / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        read = await reader.read()
        writer.close()
        return read


LENGTH_2 = (b"content-length", b"2")


@pytest.mark.parametrize(
    ("messages", "ending"),
    [
        ([start(200, LENGTH_2), part(b"ab")], b"\r\ncontent-length: 2\r\n"),
        ([start(200, LENGTH_2), part(b"a", more=True), part(b"b")], b"ab"),
        ([start(), part(b"ab")], b"2\r\nab\r\n0\r\n\r\n"),
        ([start(), part(b"a", more=True), part(b"", more=True), part(b"b")], b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"),
        ([start(), part(b"a", more=True), part(b"")], b"1\r\na\r\n0\r\n\r\n"),
        ([start(204), part(b"")], b"connection: close\r\n\r\n"),
    ],
)  # fmt: skip
async def test_a_response_with_and_without_a_length(messages: list[Message], ending: bytes) -> None:
    read = await answer(sending(*messages))
    assert read.count(b"HTTP/1.1 ") == 1
    assert read.count(b"connection: close\r\n") == 1
    assert read.endswith(ending) or ending in read
    assert (b"transfer-encoding: chunked\r\n" in read) == (b"0\r\n\r\n" in ending)


@pytest.mark.parametrize("headers", [[LENGTH_2], []])
async def test_a_response_to_head_is_a_head(headers: list[tuple[bytes, bytes]]) -> None:
    read = await answer(sending(start(200, *headers), part(b"ab")), b"HEAD")
    assert read.startswith(b"HTTP/1.1 200 OK\r\n")
    assert read.endswith(b"\r\n\r\n")
    assert read.count(b"\r\n\r\n") == 1


async def raising(send: Send) -> None:
    raise ValueError("a defect")


@pytest.mark.parametrize(
    "sends",
    [
        raising,
        sending(),
        sending(part(b"ab")),
        sending(start(200, LENGTH_2)),
        sending(start(200, LENGTH_2), part(b"a")),
        sending(start(200, LENGTH_2), part(b"abc")),
        sending(start(200, (b"a", b"b\r\nset-cookie: c"), LENGTH_2), part(b"ab")),
        sending(start(200, (b"a", b"b\nc: d"), LENGTH_2), part(b"ab")),
        sending(start(200, (b"a", b"b\r\n\r\nHTTP/1.1 200 OK"), LENGTH_2), part(b"ab")),
        sending(start(), start()),
    ],
)
async def test_a_defect_before_the_first_byte_gets_the_usual_error(
    sends: Sends, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        read = await answer(sends)
    head, _, body = read.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert json.loads(body)["error"]["code"] == "internal"
    assert [record.name for record in caplog.records] == ["tandem_runtime.serving.exchange"]


async def test_a_defect_behind_head_is_told_by_a_head() -> None:
    read = await answer(raising, b"HEAD")
    assert read.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert read.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "more",
    [
        sending(),
        raising,
        sending(start()),
        sending(part(b"bc")),
    ],
)
async def test_a_defect_after_the_first_byte_ends_the_connection(more: Sends, caplog: pytest.LogCaptureFixture) -> None:
    async def sends(send: Send) -> None:
        await sending(start(200, LENGTH_2), part(b"a", more=True))(send)
        await more(send)

    with caplog.at_level(logging.ERROR):
        read = await answer(sends)
    assert read.endswith(b"\r\n\r\na")
    assert len(caplog.records) == 1


async def test_a_message_after_the_last_is_a_defect_and_the_response_stands(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        read = await answer(sending(start(200, LENGTH_2), part(b"ab"), part(b"c")))
    assert read.endswith(b"\r\n\r\nab")
    assert "was not expected" in caplog.text
