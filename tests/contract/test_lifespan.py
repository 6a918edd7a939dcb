"""The server starts a service before its first request and stops it after the last; it reports and logs failures."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tandem_runtime.lifespan import with_lifespan
from tandem_runtime.request_id import Message, Receive, Scope, Send


@asynccontextmanager
async def service(done: list[str], fails_at: str = "") -> AsyncIterator[None]:
    done.append("started")
    if fails_at == "start":
        raise OSError("the port is taken")
    yield
    done.append("stopped")
    if fails_at == "stop":
        raise OSError("the disk is full")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "answer"})


@pytest.mark.parametrize(
    ("fails_at", "expected"),
    [
        ("", ["lifespan.startup.complete", "lifespan.shutdown.complete"]),
        ("start", ["lifespan.startup.failed"]),
        ("stop", ["lifespan.startup.complete", "lifespan.shutdown.failed"]),
    ],
)
async def test_each_stage_is_reported(fails_at: str, expected: list[str], caplog: pytest.LogCaptureFixture) -> None:
    done, sent = list[str](), list[Message]()
    asked = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(asked)}

    async def send(message: Message) -> None:
        sent.append(message)

    with caplog.at_level(logging.ERROR):
        await with_lifespan(app, service(done, fails_at))({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == expected
    assert done == (["started"] if fails_at == "start" else ["started", "stopped"])
    assert len(caplog.records) == bool(fails_at)


async def test_requests_pass() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    await with_lifespan(app, service([]))({"type": "http"}, receive, send)
    assert sent == [{"type": "answer"}]
