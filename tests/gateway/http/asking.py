"""Asks a Litestar application of the gateway's kind, without a server."""

import asyncio

import msgspec
from litestar import Litestar

from tandem_contract.errors import ErrorReply
from tandem_gateway.http.litestar_app import routed_exactly
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.request_id import Message, Scope

LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=50, query_chars=30, top_k=9)


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: int
    name: str | None = None


class Answer(msgspec.Struct):
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def error(self) -> tuple[int, str, str | None]:
        told = msgspec.json.decode(self.body, type=ErrorReply).error
        assert self.headers[b"content-type"] == b"application/json"
        assert "secret" not in told.message
        return self.status, told.code, told.param


async def ask(
    app: Litestar,
    method: str,
    target: str,
    body: bytes = b"",
    content_type: str | None = "application/json",
    *more: tuple[bytes, bytes],
) -> Answer | None:
    """Return the application's answer; None if there is none."""
    path, _, query = target.partition("?")
    headers = [(b"host", b"localhost"), *more]
    if content_type is not None:
        headers.append((b"content-type", content_type.encode()))
    scope: Scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": headers, "root_path": "", "scheme": "http", "http_version": "1.1", "client": None,
        "server": ("localhost", 80), "extensions": {},
    }  # fmt: skip
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []
    answered = asyncio.Event()

    async def receive() -> Message:
        if parts and body != b"gone":
            return parts.pop(0)
        if body != b"gone":
            await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            answered.set()

    await routed_exactly(app)(scope, receive, send)
    if not sent:
        return None
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], dict(sent[0]["headers"]), content)
