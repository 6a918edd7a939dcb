"""Errors of compatible routes have the shape that their clients read; everything else passes unchanged."""

import msgspec
import pytest

from tandem_gateway.http.compatible.errors import shape_of, with_shaped_errors
from tandem_runtime.http import Reply, refusal
from tandem_runtime.request_id import Message, Receive, Scope, Send


async def answered(path: str, *messages: Message) -> tuple[Message, bytes]:
    """Return the start and the body of what a client at this path gets of these messages."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def keep(message: Message) -> None:
        sent.append(message)

    async def never() -> Message:
        raise AssertionError

    await with_shaped_errors(app)({"type": "http", "path": path}, never, keep)
    return sent[0], b"".join(message["body"] for message in sent[1:])


async def messages_of(reply: Reply) -> list[Message]:
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    await reply.send({"type": "http"}, keep)
    return sent


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/embed", {"error": "too much"}),
        ("/api/", {"error": "too much"}),
        ("/embed", {"error": "too much", "error_type": "Overloaded"}),
        ("/health", {"error": "too much", "error_type": "Overloaded"}),
        ("/embed/", {"error": "too much", "error_type": "Overloaded"}),
    ],
)
async def test_an_error_has_the_shape_of_its_path(path: str, body: dict[str, str]):
    messages = await messages_of(refusal("overloaded", "too much", retry_after_seconds=3.0))
    start, content = await answered(path, *messages)
    assert msgspec.json.decode(content) == body
    assert start["status"] == 429
    headers = dict(start["headers"])
    assert (headers[b"content-length"], headers[b"retry-after"]) == (b"%d" % len(content), b"3")
    parts = [{**messages[1], "body": messages[1]["body"][:9], "more_body": True}]
    parts.append({**messages[1], "body": messages[1]["body"][9:]})
    assert (await answered(path, messages[0], *parts))[1] == content


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed/x", "/apis", "/openai/deployments/x/embeddings"])
async def test_other_paths_have_the_gateways_own_errors(path: str):
    messages = await messages_of(refusal("overloaded", "too much"))
    assert shape_of(path) is None
    assert await answered(path, *messages) == (messages[0], messages[1]["body"])


async def test_successes_and_foreign_errors_pass_unchanged():
    shaped = (Reply(429, b'{"error":"x"}'), Reply(429, b'{"error":"x","error_type":"Overloaded"}'))
    for reply in (*shaped, Reply(200, b'{"error":{"message":"x"}}'), Reply(502, b"bad gateway"), Reply(500, b"\xff")):
        messages = await messages_of(reply)
        start, content = await answered("/api/embed", *messages)
        assert (start["status"], content) == (reply.status, reply.body)
        assert dict(start["headers"]) == dict(messages[0]["headers"])
