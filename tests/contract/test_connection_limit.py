"""The limit of open connections, and which of them make room for new ones."""

import logging

import pytest

from tests.support.fakes import eventually
from tests.support.http_talk import GET, connect, message_of, served


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
    monkeypatch.setattr("tandem_runtime.serving.connection_limit._MAX_LINGERING", 2)

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
